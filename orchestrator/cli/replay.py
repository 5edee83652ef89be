"""`saga replay`: fold the log, and hold it against the changelog and the local stores."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit, Misused
from orchestrator.cli.output import counted
from orchestrator.cli.verb import Verb

if TYPE_CHECKING:
    from orchestrator.audit.compare import Difference
    from orchestrator.audit.replaying import Replayed
    from orchestrator.core.state import SagaState


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("saga", metavar="ID", nargs="?", default=None, help="only this saga")
    parser.add_argument("--partition", type=int, metavar="P", default=None, help="only this shard")
    parser.add_argument(
        "--at-offset",
        type=int,
        metavar="N",
        default=None,
        help="fold the events records up to this offset (with --partition or an ID)",
    )
    parser.add_argument(
        "--at-time", metavar="TIME", default=None, help="fold up to this instant (ISO 8601, UTC)"
    )
    parser.add_argument(
        "--store",
        metavar="DIR",
        default=None,
        help="also compare the stores below it, which no worker may hold: one worker's directory, or"
        " all of a machine's (saga-state; .saga/state of saga dev)",
    )


def _run(context: Context, options: Namespace) -> Exit:
    from orchestrator.audit.replaying import Replayer
    from orchestrator.audit.stores import LocalStores

    log = context.log
    until = _until(options)
    if options.at_offset is not None and options.partition is None and options.saga is None:
        raise Misused("missing_partition", "--at-offset counts in one partition: name it")
    shards = _shards(context, options)
    total = sum(
        log.span(topic, shard).width
        for shard in shards
        for topic in (log.topics.changelog, log.topics.events)
    )
    with context.out.progress("replaying", total) as on_count:
        replayer = Replayer(log, context.codec, saga=options.saga, on_count=on_count)
        if until is None:
            stores = LocalStores(Path(options.store), context.codec) if options.store else None
            found = [replayer.now(shard, stores) for shard in shards]
        else:
            if options.store:
                raise Misused("no_past", "a store has no past: compare it without --at-*")
            found = [replayer.at(shard, until) for shard in shards]
    _tell(context, found)
    return Exit.FOUND if any(one.differences_count for one in found) else Exit.OK


def _until(options: Namespace) -> Any:
    from orchestrator.audit.replaying import Until
    from orchestrator.cli.views import parse_instant

    if options.at_offset is None and options.at_time is None:
        return None
    try:
        at_ms = None if options.at_time is None else parse_instant(options.at_time)
    except ValueError as error:
        raise Misused("bad_time", f"--at-time {options.at_time}: {error}") from error
    return Until(options.at_offset, at_ms)


def _shards(context: Context, options: Namespace) -> list[int]:
    log = context.log
    if options.saga is not None:
        return [log.shard_of(options.saga)]
    if options.partition is None:
        return list(range(log.partitions_count))
    if not 0 <= options.partition < log.partitions_count:
        raise Misused(
            "bad_partition",
            f"--partition {options.partition}: there are 0 to {log.partitions_count - 1}",
        )
    return [options.partition]


def _tell(context: Context, found: list[Replayed]) -> None:
    differences = [difference for one in found for difference in one.differences]
    count = sum(one.differences_count for one in found)
    context.out.document(
        {
            "ok": count == 0,
            "partitions": [_partition_json(one) for one in found],
            "differences_count": count,
            "differences": [_difference_json(difference) for difference in differences],
        }
    )
    context.out.table(
        (
            "shard",
            "transitions",
            "events",
            "sagas",
            "open",
            "forgotten",
            "equal",
            "not comparable",
            "different",
        ),
        (
            (
                one.partition,
                one.transitions_count,
                one.events_count,
                one.sagas_count,
                one.open_count,
                one.forgotten_count,
                " ".join(f"{name}:{equal}" for name, equal in one.compared.items()),
                one.incomparable_count,
                one.differences_count,
            )
            for one in found
        ),
    )
    context.out.line()
    if not count:
        context.out.line("The log explains every state, byte for byte.")
        return
    context.out.line(f"{counted(count, 'difference')}. The first:")
    _show_difference(context, differences[0])


def _partition_json(one: Replayed) -> dict[str, Any]:
    return {name: value for name, value in one._asdict().items() if name != "differences"}


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        **difference._asdict(),
        "kind": difference.kind.value,
        "expected": _fields(difference.expected),
        "found": _fields(difference.found),
    }


def _show_difference(context: Context, difference: Difference) -> None:
    out = context.out
    out.line(
        f"  {difference.kind.value} in {difference.copy}: saga {difference.saga or '?'}, sequence"
        f" {difference.sequence}, shard {difference.partition}, offset {difference.offset}"
    )
    out.line(f"  {difference.text}")
    left, right = _fields(difference.expected) or {}, _fields(difference.found) or {}
    rows = [
        (name, left.get(name, ""), right.get(name, ""))
        for name in dict(left) | dict(right)
        if left.get(name) != right.get(name)
    ]
    out.table(("field", "the log says", f"the {difference.copy} says"), rows)


def _fields(state: SagaState | None) -> Mapping[str, Any] | None:
    """Flatten a state into names and plain values."""
    from orchestrator.cli.views import bytes_json

    if state is None:
        return None
    found: dict[str, Any] = {}
    for name, value in state._asdict().items():
        if name == "steps":
            for index, step in enumerate(value):
                for part, inner in step._asdict().items():
                    found[f"steps[{index}].{part}"] = inner
        else:
            found[name] = value
    return {
        name: bytes_json(value) if isinstance(value, bytes) else value
        for name, value in found.items()
    }


VERB = Verb(
    name="replay",
    help="Fold every saga's events from the start and compare with changelog and store.",
    detail=(
        "Byte for byte, at the end of the log, or with --at-offset or --at-time at an earlier\n"
        "moment. Exit code 1 if anything differs; the first difference is shown with both sides.\n"
        "Needs read rights only, no worker, and disturbs none."
    ),
    example="saga replay --at-time 2026-01-31T12:00:00",
    arguments=_arguments,
    run=_run,
)
