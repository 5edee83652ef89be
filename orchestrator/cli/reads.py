"""What several verbs read: one saga's log, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.audit.reading import Unreadable
from orchestrator.cli.context import Context
from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Transition
from orchestrator.core.state import SagaState
from orchestrator.errors import CommandRejected, NotFound


def entries_of(context: Context, saga: str) -> list[tuple[Origin, Transition]]:
    """Read one saga's transitions, in order.

    Raises:
        CommandRejected: No saga can have this id.
        NotFound: The log has no event of it.
    """
    from orchestrator.core.ids import is_id

    if not is_id(saga):
        raise CommandRejected("bad_id", f"{saga!r} is no saga id: [A-Za-z0-9._-]{{1,128}}")
    log = context.log
    shard = log.shard_of(saga)
    span = log.span(log.topics.events, shard)
    found = []
    with context.out.progress(f"reading {log.topics.events}/{shard}", span.width) as on_count:
        for entry in log.transitions(shard, span, saga=saga, on_count=on_count):
            if isinstance(entry, Unreadable):
                raise entry.error
            found.append(entry)
    if not found:
        raise NotFound(
            "unknown_saga",
            f"{log.topics.events}/{shard} has no event of a saga {saga}: it was never started, or no"
            f" worker has read its command yet, or the command was refused"
            f" (`saga dead-letters --key {saga}`)",
        )
    return found


def state_of(
    context: Context, saga: str, entries: list[tuple[Origin, Transition]]
) -> SagaState | None:
    """Give a saga's state: its log folded; from the changelog if the log's beginning has expired.

    None: it has ended and is forgotten.

    Raises:
        StateError: The log contradicts itself.
    """
    from orchestrator.core.log import replay

    log = context.log
    shard = log.shard_of(saga)
    if entries[0][1].sequence != 1 and log.span(log.topics.events, shard).start > 0:
        snapshots, _ = log.changelog(shard, log.span(log.topics.changelog, shard))
        found = snapshots.get(saga)
        return None if found is None else context.codec.decode_snapshot(found.value)
    state: SagaState | None = None
    for _, transition in entries:
        state = replay(state, transition.sequence, transition.events)
    return state


def names_of(
    context: Context, state: SagaState | None, entries: list[tuple[Origin, Transition]]
) -> Mapping[int, str]:
    """Name a saga's steps by place: as the log does, else as the program at hand does."""
    from orchestrator.audit.timeline import step_names

    known = step_names(transition for _, transition in entries)
    if state is None or len(known) == len(state.steps) or context.known_program is None:
        return known
    for saga in context.known_program.sagas:
        if (saga.id, saga.version) == (state.definition, state.version) and not saga.problems():
            return {step.index: step.id for step in saga.build().steps} | dict(known)
    return known
