"""The state of a saga as the snapshot record lays it out.

Most steps of most sagas have nothing but a status: those take one byte. The layout is canonical
(one state, one encoding), so that states can be compared as bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from orchestrator.codec.refusals import refuse
from orchestrator.core.state import BARE, IDLE, PHASE_BY_NUMBER, SagaState, StepState, StepStatus

_DECISION_MAX = 2
_SAME_COUNT = 12
"""Fields that state and columns begin with."""
_status = itemgetter(0)
_STATUSES = tuple(StepStatus)


class StepRow(NamedTuple):
    """A step that has more than a status."""

    step: int
    attempt: int
    attempts_before: int
    doubtful: bool
    due_ms: int
    command: bytes
    result: bytes


class SnapshotRow(NamedTuple):
    """The columns of the record."""

    saga: str
    definition: str
    version: int
    fingerprint: int
    phase: int
    sequence: int
    payload: bytes
    start_digest: bytes
    started_ms: int
    due_ms: int
    cause: str
    lost: bool
    decisions: bytes
    faults: tuple[int, ...]
    statuses: bytes
    steps: tuple[StepRow, ...]


def pack_state(state: SagaState) -> tuple[Any, ...]:
    """Lay a state out in the columns of `SnapshotRow`. Raises ValueError if a decision is no byte."""
    steps = state.steps
    return (
        *state[:_SAME_COUNT],
        bytes(state.decisions),
        state.faults,
        bytes(map(_status, steps)),
        # What a bare step has beside its status is all zero or empty. Most bare ones are this one.
        tuple(
            [
                (place, *rest)
                for place, step in enumerate(steps)
                if step is not IDLE and any(rest := step[1:])
            ]
        ),
    )


def unpack_state(row: SnapshotRow) -> SagaState:
    """Read a state. Raises DecodeError: `out_of_range`, `malformed_record`."""
    phase = PHASE_BY_NUMBER.get(row.phase)
    if phase is None:
        raise refuse("out_of_range", f"there is no phase {row.phase}")
    if max(row.decisions, default=0) > _DECISION_MAX:
        raise refuse("out_of_range", "a decision is more than 2")
    return SagaState(
        row.saga,
        row.definition,
        row.version,
        row.fingerprint,
        phase,
        row.sequence,
        row.payload,
        row.start_digest,
        row.started_ms,
        row.due_ms,
        row.cause,
        row.lost,
        tuple(row.decisions),
        row.faults,
        _steps(row.statuses, row.steps),
    )


def _steps(statuses: bytes, rows: Sequence[StepRow]) -> tuple[StepState, ...]:
    if statuses and max(statuses) >= len(_STATUSES):
        raise refuse("out_of_range", f"there is no step status {max(statuses)}")
    steps = [BARE[status] for status in statuses]
    before = -1
    for row in rows:
        if not 0 <= row.step < len(steps):
            raise refuse("out_of_range", f"there is no step {row.step}")
        if row.step <= before:
            raise refuse("malformed_record", "steps do not ascend")
        before = row.step
        step = StepState(_STATUSES[statuses[row.step]], *row[1:])
        if step == steps[row.step]:
            raise refuse("malformed_record", f"step {row.step} has nothing but a status")
        steps[row.step] = step
    return tuple(steps)
