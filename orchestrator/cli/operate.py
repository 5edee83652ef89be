"""What `cancel`, `retry`, `skip` and `resolve` share: who orders it, why, and what came of it."""

from __future__ import annotations

import getpass
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.errors import CommandRejected

if TYPE_CHECKING:
    from orchestrator.audit.timeline import Moment
    from orchestrator.core.commands import OperatorCommand

WAIT_S = 30.0


def add_arguments(parser: ArgumentParser, *, step: bool, reason_needed: bool) -> None:
    """Add the arguments of an operator's verb."""
    parser.add_argument("saga", metavar="ID", help="saga id")
    if step:
        parser.add_argument("step", metavar="STEP", help="id of the stuck step, as `show` has it")
    parser.add_argument(
        "--reason",
        metavar="TEXT",
        required=reason_needed,
        default="",
        help="why; it is kept in the saga's log" + ("" if reason_needed else " (optional)"),
    )
    parser.add_argument(
        "--actor", metavar="NAME", default="", help="who orders it (default: your user name)"
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        default=False,
        help="return once Kafka has the command, without waiting for what comes of it",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        default=WAIT_S,
        help=f"seconds to wait for a worker (default {WAIT_S:.0f})",
    )


def actor_of(options: Namespace) -> str:
    """Give the name that goes into the log."""
    return str(options.actor) or getpass.getuser()


def order(context: Context, options: Namespace, command: OperatorCommand) -> Exit:
    """Send a command and, unless told otherwise, say what the saga made of it.

    Raises:
        CommandRejected: The saga refused it.
        TimedOut: No worker has taken it in time; it stays in the topic and will be obeyed.
    """
    from orchestrator.cli.views import moment_json, moment_text, origin_json, place

    client = context.client
    receipt = client.send(command)
    document = {"saga": receipt.saga, "command": origin_json(receipt.origin)}
    if options.no_wait:
        context.out.document({**document, "events": None})
        context.out.line(f"{receipt.saga}: accepted by Kafka at {place(receipt.origin)}.")
        return Exit.OK
    try:
        moments = client.effect_of(receipt, timeout_s=options.timeout)
    except CommandRejected as error:
        if error.reason != "unknown_step":
            raise
        raise _unknown_step(context, receipt.saga, options.step) from error
    if any(moment.step.startswith("#") for moment in moments):
        names = _names(context, receipt.saga)
        moments = tuple(_named(moment, names) for moment in moments)
    context.out.document(
        {**document, "events": [moment_json(moment, context.read) for moment in moments]}
    )
    for moment in moments:
        step = f" {moment.step}" if moment.step else ""
        context.out.line(
            f"{moment.sequence}: {moment.event}{step} {moment_text(moment, context.read)}".rstrip()
        )
    return Exit.OK


def _names(context: Context, saga: str) -> Mapping[int, str]:
    from orchestrator.cli.reads import entries_of, names_of, state_of

    entries = entries_of(context, saga)
    return names_of(context, state_of(context, saga, entries), entries)


def _named(moment: Moment, names: Mapping[int, str]) -> Moment:
    """Call a step by its id where one command's events know only its place."""
    if not moment.step.startswith("#"):
        return moment
    return moment._replace(step=names.get(int(moment.step[1:]), moment.step))


def _unknown_step(context: Context, saga: str, step: str) -> CommandRejected:
    import difflib

    names = [name for _, name in sorted(_names(context, saga).items())]
    close = difflib.get_close_matches(step, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"its steps: {', '.join(names)}"
    return CommandRejected("unknown_step", f"saga {saga} has no step {step}; {hint}")
