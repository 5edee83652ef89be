"""Replay up to an earlier moment, and what the changelog still holds of it. Pure.

A changelog is compacted: of an earlier moment it holds the snapshots that happen to be left. Each
one left is compared with the log's state of the same saga at the same sequence; the others are
counted as not comparable, which is no fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from orchestrator.audit.compare import (
    DIFFERENCES_KEPT_MAX,
    Decode,
    Difference,
    Encode,
    Kind,
    Snapshot,
)
from orchestrator.core.state import SagaState
from orchestrator.errors import DecodeError


class InstantReport(NamedTuple):
    """How much of an earlier moment could be compared, and what differed."""

    compared_count: int
    absent_count: int
    """Sagas of which the changelog no longer holds the snapshot of that moment."""
    differences_count: int
    differences: tuple[Difference, ...]
    """The first of them."""


def compare_at(
    partition: int,
    states: Mapping[str, SagaState],
    snapshots: Iterable[tuple[str, Snapshot]],
    *,
    encode: Encode,
    decode: Decode,
) -> InstantReport:
    """Compare the log's states at a moment with every snapshot that the changelog still holds."""
    equal: set[str] = set()
    wrong: dict[str, Difference] = {}
    for saga, snapshot in snapshots:
        state = states.get(saga)
        if state is None or saga in equal:
            continue
        where = ("changelog", partition, saga)
        try:
            found = decode(snapshot.value)
        except DecodeError as error:
            # It may be of another moment; only if no good one turns up is this one held against it.
            wrong[saga] = Difference(Kind.UNREADABLE, *where, 0, snapshot.offset, str(error))
            continue
        if found.sequence != state.sequence:
            continue
        if encode(state) == snapshot.value:
            equal.add(saga)
            wrong.pop(saga, None)
        elif _same_life(found, state):
            text = "not the same bytes"
            wrong[saga] = Difference(
                Kind.BYTES, *where, state.sequence, snapshot.offset, text, state, found
            )
    return InstantReport(
        compared_count=len(equal),
        absent_count=len(states) - len(equal) - len(wrong),
        differences_count=len(wrong),
        differences=tuple(wrong.values())[:DIFFERENCES_KEPT_MAX],
    )


def _same_life(left: SagaState, right: SagaState) -> bool:
    # An id that was forgotten and used again passes the same sequence a second time.
    return left.started_ms == right.started_ms or left.start_digest == right.start_digest
