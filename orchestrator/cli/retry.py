"""`saga retry`: try everything that is stuck in a saga once more."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.operate import actor_of, add_arguments, order
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    add_arguments(parser, step=False, reason_needed=False)


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.core.commands import RetrySaga

    return order(context, options, RetrySaga(options.saga, actor_of(options), options.reason))


VERB = Verb(
    name="retry",
    help="Try everything that is stuck in a saga once more.",
    detail=("With a fresh budget of attempts. Refused if nothing is stuck."),
    example="saga retry trip-1 --reason 'the hotel is back'",
    arguments=_arguments,
    run=_run,
)
