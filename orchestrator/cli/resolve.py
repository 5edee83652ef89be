"""`saga resolve`: say that a person has done what a stuck step could not."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.operate import actor_of, add_arguments, order
from orchestrator.cli.verb import Verb
from orchestrator.errors import CommandRejected


def _arguments(parser: ArgumentParser) -> None:
    add_arguments(parser, step=True, reason_needed=True)
    parser.add_argument(
        "--result",
        metavar="JSON",
        default="",
        help="the step's result, if a later step reads it",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.core.commands import ResolveStep

    result = options.result.encode()
    if result:
        _check(options.result)
    command = ResolveStep(options.saga, options.step, actor_of(options), options.reason, result)
    return order(context, options, command)


def _check(text: str) -> None:
    import json

    try:
        value = json.loads(text)
    except ValueError as error:
        raise CommandRejected("malformed_json", f"--result is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise CommandRejected("malformed_json", "--result must be a JSON object")


VERB = Verb(
    name="resolve",
    help="Say that a person has done by hand what a stuck step or compensation could not.",
    detail="The saga goes on as if the participant had succeeded; its log names who said so.",
    example="saga resolve trip-1 refund_card --reason 'refunded by bank transfer 77'",
    arguments=_arguments,
    run=_run,
)
