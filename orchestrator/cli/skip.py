"""`saga skip`: give up on a stuck step or compensation."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.operate import actor_of, add_arguments, order
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    add_arguments(parser, step=True, reason_needed=True)


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.core.commands import SkipStep

    return order(
        context, options, SkipStep(options.saga, options.step, actor_of(options), options.reason)
    )


VERB = Verb(
    name="skip",
    help="Give up on a stuck step or compensation.",
    detail=("The saga goes on without it; the consistency of its outcome becomes unknown."),
    example="saga skip trip-1 release_room --reason 'hotel closed for good'",
    arguments=_arguments,
    run=_run,
)
