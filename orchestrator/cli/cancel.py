"""`saga cancel`: turn a saga back: everything done so far is compensated."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.operate import actor_of, add_arguments, order
from orchestrator.cli.verb import Verb


def _arguments(parser: ArgumentParser) -> None:
    add_arguments(parser, step=False, reason_needed=False)


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.core.commands import CancelSaga

    return order(context, options, CancelSaga(options.saga, actor_of(options), options.reason))


VERB = Verb(
    name="cancel",
    help="Turn a saga back: everything done so far is compensated.",
    detail=(
        "Refused once the point of no return (the pivot) has been requested. Cannot be interrupted."
    ),
    example="saga cancel trip-1 --reason 'customer called'",
    arguments=_arguments,
    run=_run,
)
