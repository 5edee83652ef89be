"""`saga list`: the sagas of an installation."""

from __future__ import annotations

import heapq
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.tables import When
from orchestrator.cli.verb import Verb
from orchestrator.errors import DecodeError

if TYPE_CHECKING:
    from orchestrator.core.state import SagaState


_MATCHING = "matching"
_STUCK = "stuck"
_OUTCOMES = ("completed", "rolled_back", "cancelled", "running", "compensating")
_CONSISTENCIES = ("consistent", "stuck", "unknown")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--outcome", choices=_OUTCOMES, default="", help="that ended so, or have not ended yet"
    )
    parser.add_argument(
        "--consistency", choices=_CONSISTENCIES, default="", help="of this consistency"
    )
    parser.add_argument("--stuck", action="store_true", default=False, help="need a person")
    parser.add_argument("--running", action="store_true", default=False, help="have not ended")
    parser.add_argument("--ended", action="store_true", default=False, help="have ended")
    parser.add_argument("--definition", metavar="NAME", default="", help="of this definition")
    parser.add_argument(
        "--limit",
        type=int,
        default=100,
        metavar="N",
        help="print so many, the newest (default 100; 0: all)",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.cli.views import saga_json

    counts: Counter[str] = Counter()
    matching = select(_states(context), options, counts)
    shown = newest(matching, options.limit)
    matching_count = counts.pop(_MATCHING, 0)
    context.out.document(
        {
            "sagas": [saga_json(state) for state in shown],
            "matching": matching_count,
            "counts": dict(sorted(counts.items())),
        }
    )
    context.out.table(
        ("saga", "definition", "outcome", "consistency", "events", "started"),
        (
            (
                state.saga_id,
                f"{state.definition} v{state.version}",
                state.phase.name.lower(),
                state.consistency.name.lower(),
                state.sequence,
                When(state.started_ms),
            )
            for state in shown
        ),
        drop=("events",),
    )
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if count)
    context.out.note(f"{len(shown)} of {matching_count} shown. In all: {told or 'none'}.")
    return Exit.OK


def newest(states: Iterable[SagaState], limit: int) -> list[SagaState]:
    """Give so many of the sagas, or all of them for 0; what started last comes first."""
    if not limit:
        return sorted(states, key=_age, reverse=True)
    return heapq.nlargest(limit, states, key=_age)


def _age(state: SagaState) -> tuple[int, str]:
    return state.started_ms, state.saga_id


def select(
    states: Iterable[SagaState], options: Namespace, counts: Counter[str]
) -> Iterator[SagaState]:
    """Give the states that match; count each by its outcome, or as stuck, and those that match."""
    for state in states:
        counts[_STUCK if state.stuck else state.phase.name.lower()] += 1
        if _matches(state, options):
            counts[_MATCHING] += 1
            yield state


def _matches(state: SagaState, options: Namespace) -> bool:
    return (
        (not options.stuck or state.stuck)
        and (not options.running or not state.ended)
        and (not options.ended or state.ended)
        and options.definition in ("", state.definition)
        and options.outcome in ("", state.phase.name.lower())
        and options.consistency in ("", state.consistency.name.lower())
    )


def _states(context: Context) -> Iterator[SagaState]:
    log = context.log
    topic = log.topics.changelog
    spans = [log.span(topic, shard) for shard in range(log.partitions_count)]
    total = sum(span.width for span in spans)
    with context.out.progress(f"reading {topic}", total) as on_count:
        for shard, span in enumerate(spans):
            snapshots, _ = log.changelog(shard, span, on_count)
            for saga, snapshot in snapshots.items():
                try:
                    yield context.codec.decode_snapshot(snapshot.value)
                except DecodeError as error:
                    context.out.note(f"{saga} cannot be read ({error}); see `saga replay {saga}`")


VERB = Verb(
    name="list",
    help="List sagas, with counts by outcome.",
    detail=(
        "The newest first, over all shards. Conditions go together. A saga that is stuck is counted\n"
        "as that and nothing else. Reads the changelog once, from its beginning; needs no worker."
    ),
    example="saga list --outcome rolled_back --limit 10",
    arguments=_arguments,
    run=_run,
)
