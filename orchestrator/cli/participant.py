"""`saga participant`: execute steps."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit, Misused
from orchestrator.cli.verb import Verb
from orchestrator.errors import NotFound


def _arguments(parser: ArgumentParser) -> None:
    from orchestrator.cli.flags import add_settings
    from orchestrator.participant.settings import ParticipantSettings

    parser.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        default=[],
        help="whom to be; several: a supervised process each",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        default=False,
        help="everyone for whom the modules have a handler",
    )
    parser.add_argument(
        "--log-level",
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="of the log",
    )
    add_settings(parser, "the participant", ParticipantSettings)


def _run(context: Context, options: Namespace) -> Exit:
    import difflib

    known = context.program.participants
    names = list(dict.fromkeys(known if options.all else options.names))
    if not names:
        raise Misused(
            "usage", f"name a participant, or --all; known: {', '.join(known) or 'none'}"
        )
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known) or 'none'}"
            raise NotFound("unknown_participant", f"no module has a handler of {name}; {hint}")
    _refuse_twins(context, names)
    if len(names) > 1:
        return _supervise(context, options, names)
    return _serve(context, options, names[0])


def _refuse_twins(context: Context, names: list[str]) -> None:
    """Refuse to be whom `saga dev` is: one of the two would only take the other's place."""
    from orchestrator.cli.children import SUPERVISOR
    from orchestrator.cli.devfile import DevRuns
    from orchestrator.participant.settings import ParticipantSettings

    dev = context.dev
    if dev is None or os.environ.get(SUPERVISOR) == str(dev.pid):
        return
    twins = [name for name in names if name in dev.participants]
    if twins and not context.settings(ParticipantSettings).participant_ordinal:
        told = ", ".join(twins)
        raise DevRuns(
            f"saga dev (pid {dev.pid}) runs {told} in this directory; to run it yourself, start"
            f" `saga dev --without {','.join(twins)}`"
        )


def _serve(context: Context, options: Namespace, name: str) -> Exit:
    from orchestrator.cli.children import SUPERVISOR
    from orchestrator.observability.log import configure
    from orchestrator.participant.process import serve
    from orchestrator.participant.settings import ParticipantSettings
    from orchestrator.runtime.signals import StopRequest

    configure(options.log_level)
    serve(
        name,
        context.program.handlers,
        kafka=context.kafka,
        topics=context.topics,
        settings=context.settings(ParticipantSettings),
        codec=context.codec,
        payloads=context.payloads,
        stopping=StopRequest(parent=int(os.environ.get(SUPERVISOR, "0"))),
    )
    return Exit.OK


def _supervise(context: Context, options: Namespace, names: list[str]) -> Exit:
    from orchestrator.cli.supervision import supervise

    kept = [word for word in sys.argv[1:] if word not in options.names and word != "--all"]
    return supervise(context, {name: [*kept, name] for name in names})


VERB = Verb(
    name="participant",
    help="Execute the steps of one participant, or of several, with your modules' handlers.",
    detail=(
        "A command that comes twice is answered from a ledger on disk without running twice.\n"
        "SIGTERM finishes what runs. Logs JSON lines on stderr."
    ),
    example="saga participant airline hotels cards --bootstrap-servers localhost:9092",
    arguments=_arguments,
    run=_run,
)
