"""`saga topics`: what the topics must be, and making them so."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb

if TYPE_CHECKING:
    from orchestrator.kafka.base import TopicState
    from orchestrator.topics import Plan, TopicSettings


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=("plan", "create", "check"),
        help="plan: say what would be done; create: do it; check: exit 1 if anything is wrong",
    )
    parser.add_argument(
        "--partitions", metavar="P", help="number of shards, fixed for ever (default 4)"
    )
    parser.add_argument(
        "--profile", metavar="NAME", help="`production` (3 copies, default) or `development` (1)"
    )
    parser.add_argument(
        "--mend",
        action="store_true",
        default=False,
        help="with create: also set what is wrong in topics that exist, where it can be set",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator import topics
    from orchestrator.modules import participants_of

    settings = context.settings(topics.TopicSettings)
    participants = participants_of(context.program)
    wanted = topics.specs(context.topics, participants, settings)
    existing = context.admin.topics([spec.name for spec in wanted])
    if options.action != "create":
        settings = _as_found(context, settings, list(existing.values()))
        wanted = topics.specs(context.topics, participants, settings)
    todo = topics.plan(wanted, existing, context.admin.broker_config())
    if options.action == "create":
        topics.apply(context.admin, todo, mend=options.mend)
    context.out.document(
        {
            "create": [
                {
                    "topic": spec.name,
                    "partitions": spec.partitions,
                    "replication": spec.replication,
                    "config": dict(spec.config),
                }
                for spec in todo.create
            ],
            "problems": [_problem_json(problem) for problem in todo.problems],
            "existing": sorted(existing),
            "done": options.action == "create",
        }
    )
    _tell(context, options, todo)
    if options.action == "create":
        return Exit.OK
    wrong = bool(todo.fatal) or (options.action == "check" and bool(todo.create))
    return Exit.FOUND if wrong else Exit.OK


def _as_found(
    context: Context, settings: TopicSettings, existing: list[TopicState]
) -> TopicSettings:
    """Take what nobody has said as all topics have it: one copy everywhere is development."""
    from orchestrator.topics import Profile

    copies = {state.replication for state in existing}
    shards = {state.partitions for state in existing}
    found: dict[str, Any] = {}
    if not context.given("topic", "profile") and copies == {1}:
        found["profile"] = str(Profile.DEVELOPMENT)
        context.out.note(
            "Every topic has one copy: compared with profile development;"
            " `--profile production` demands three."
        )
    if not context.given("topic", "partitions") and len(shards) == 1:
        found["partitions"] = shards.pop()
    return dataclasses.replace(settings, **found)


def _problem_json(problem: Any) -> dict[str, Any]:
    return {
        "topic": problem.topic or None,
        "text": problem.text,
        "cure": problem.cure,
        "fatal": problem.fatal,
        "mendable": problem.mend is not None,
    }


def _tell(context: Context, options: Namespace, todo: Plan) -> None:
    out = context.out
    if todo.create:
        done = "created" if options.action == "create" else "missing"
        out.table(
            ("topic", "state", "partitions", "copies", "policy"),
            (
                (
                    spec.name,
                    done,
                    spec.partitions,
                    spec.replication,
                    spec.config.get("cleanup.policy", ""),
                )
                for spec in todo.create
            ),
        )
    for problem in todo.problems:
        out.line(f"{'error' if problem.fatal else 'warning'}: {problem}")
    if not todo.create and not todo.problems:
        out.line("Every topic is as it must be.")


VERB = Verb(
    name="topics",
    help="Say what the topics must be, create them, or check those that exist.",
    detail=(
        "The participants of your sagas (--modules) say which topics there are besides our own.\n"
        "`plan` and `check` take a number of partitions, and one copy, that all topics have as wanted,\n"
        "unless --partitions or --profile says otherwise."
    ),
    example="saga topics create --partitions 8 --profile production",
    arguments=_arguments,
    run=_run,
)
