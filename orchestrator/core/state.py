"""The state of one saga: what `evolve` folds its events into.

Plain immutable tuples: cheap to copy, equal by content. Nothing here refers to a definition, so a
log can be folded without the program that wrote it.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import compress
from operator import is_not
from typing import NamedTuple, TypeAlias

from orchestrator.core.tuples import constructor


class Phase(IntEnum):
    """Where a saga stands. The numbers are written to disk: never change one."""

    RUNNING = 1
    COMPENSATING = 2
    COMPLETED = 3
    ROLLED_BACK = 4
    CANCELLED = 5
    """Rolled back because somebody asked."""


PHASE_BY_NUMBER = {phase.value: phase for phase in Phase}
TERMINAL = frozenset({Phase.COMPLETED, Phase.ROLLED_BACK, Phase.CANCELLED})


class Consistency(IntEnum):
    """The second axis of an outcome: are the participants left in agreement?"""

    CONSISTENT = 1
    STUCK = 2
    """A person is needed; the saga has not ended."""
    UNKNOWN = 3
    """A step was given up, or its outcome was never learnt and it could not be undone."""


class StepStatus(IntEnum):
    """Where one step stands. The numbers are written to disk: never change one."""

    IDLE = 0
    REQUESTED = 1
    """Sent; `due_ms` is when it counts as unanswered."""
    WAITING = 2
    """The last attempt failed; `due_ms` is when the next is sent."""
    SUCCEEDED = 3
    FAILED = 4
    """Answered with a declared failure at its only attempt: nothing happened, nothing to undo."""
    UNKNOWN = 5
    """Given up without a trustworthy answer: it may have happened, so it is compensated."""
    STUCK = 6
    """Forward, and failed for good where there is no way back: a person is needed."""
    SKIPPED = 7
    """A person gave up on the forward step."""
    UNDO_REQUESTED = 8
    UNDO_WAITING = 9
    UNDONE = 10
    UNDO_STUCK = 11
    """The compensation failed for good: a person is needed."""
    UNDO_SKIPPED = 12
    """A person gave up on the compensation."""


class StepState(NamedTuple):
    """One step of one saga. All times in ms since the epoch; 0: no timer armed."""

    status: StepStatus = StepStatus.IDLE
    attempt: int = 0
    """Sendings so far in the present direction."""
    attempts_before: int = 0
    """Sendings before an operator's last `retry`: they do not count against the policy."""
    doubtful: bool = False
    """An attempt went unanswered or failed unclearly: it may have happened all the same."""
    due_ms: int = 0
    command: bytes = b""
    """The command of the present direction while it may be sent again; kept after a success only
    if the step can be undone."""
    result: bytes = b""


BARE = tuple(StepState(status) for status in StepStatus)
"""For each status, a step that has nothing else."""
IDLE = BARE[StepStatus.IDLE]


class SagaState(NamedTuple):
    """One saga. `sequence` is the number of its last event."""

    saga_id: str
    definition: str
    version: int
    fingerprint: int
    phase: Phase
    sequence: int
    payload: bytes
    """The start payload; empty once the saga has ended."""
    start_digest: bytes
    """8 bytes over definition, version asked for, and payload: tells a duplicate start from a clash."""
    started_ms: int
    due_ms: int
    """While it runs: the saga's deadline. Once ended: when it is forgotten. 0: no timer."""
    cause: str
    """Why it turned back, empty if it did not: `step_failed`, `step_unknown`, `deadline`, `cancelled`."""
    lost: bool
    """A step's outcome was given up on: the consistency of the outcome is unknown."""
    decisions: tuple[int, ...]
    """For each choice of the definition: 0 open, 1 then, 2 otherwise."""
    faults: tuple[int, ...]
    """Nodes that could not begin, because a function of the definition raised. A person is needed."""
    steps: tuple[StepState, ...]

    @property
    def ended(self) -> bool:
        """Whether no further step will be taken."""
        return self.phase in TERMINAL

    @property
    def stuck(self) -> bool:
        """Whether a person is needed."""
        needs = (StepStatus.STUCK, StepStatus.UNDO_STUCK)
        return bool(self.faults) or any(step.status in needs for step in self.steps)

    @property
    def consistency(self) -> Consistency:
        """Whether the participants agree, as far as is known."""
        if self.stuck:
            return Consistency.STUCK
        return Consistency.UNKNOWN if self.lost else Consistency.CONSISTENT


class Timer(NamedTuple):
    """Something to be done at `due_ms` (ms since the epoch). `step` -1: the saga's own timer."""

    due_ms: int
    saga_id: str
    step: int


RawTimer: TypeAlias = tuple[int, bytes, int]
"""A `Timer` with the bytes of its saga's id: a restore makes no texts of them."""

SAGA_TIMER = -1
_timer = constructor(Timer)


def timers(state: SagaState) -> tuple[Timer, ...]:
    """Every timer that is armed in this state."""
    armed = [
        _timer(step.due_ms, state.saga_id, index)
        for index, step in enumerate(state.steps)
        if step.due_ms
    ]
    if state.due_ms:
        armed.append(_timer(state.due_ms, state.saga_id, SAGA_TIMER))
    return tuple(armed)


def reminder(state: SagaState | None) -> Timer | None:
    """The timer that is due first; None if none is armed, or no saga there."""
    if state is None:
        return None
    due_ms, place = state.due_ms, SAGA_TIMER
    for index, step in enumerate(state.steps):
        if step.due_ms and (step.due_ms < due_ms or not due_ms):
            due_ms, place = step.due_ms, index
    return _timer(due_ms, state.saga_id, place) if due_ms else None


def moved_reminder(
    held: Timer | None, before: SagaState | None, after: SagaState | None, now_ms: int
) -> Timer | None:
    """Where the reminder of a saga belongs after a change, if it is `held` until then.

    The due index has one reminder a saga, which may be early but never late. Most timers are
    disarmed long before they are due, and most new ones are due later than those: so it stays where
    it is until it comes due itself, or an earlier timer is armed, or the saga ends.
    """
    if (
        held is None
        or before is None
        or after is None
        or held.due_ms <= now_ms
        or after.phase in TERMINAL
        or len(before.steps) != len(after.steps)
    ):
        return reminder(after)
    if 0 < after.due_ms < held.due_ms:
        return reminder(after)
    # Most steps of a long saga are the very same: found out without a line of Python for each.
    for step in compress(after.steps, map(is_not, before.steps, after.steps)):
        if 0 < step.due_ms < held.due_ms:
            return reminder(after)
    return held
