"""evolve: fold one event into the state of its saga. The only writer; all that replay runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from orchestrator.core.events import (
    AttemptFailed,
    BranchChosen,
    CommandRefused,
    CompensationRequested,
    CompensationStarted,
    CompensationStuck,
    CompensationSucceeded,
    DeadlinePassed,
    Event,
    NodeFaulted,
    ReplyIgnored,
    RetryOrdered,
    SagaEnded,
    SagaForgotten,
    SagaStarted,
    StepFailed,
    StepRequested,
    StepResolved,
    StepSkipped,
    StepStuck,
    StepSucceeded,
    StepUnknown,
    TimerIgnored,
)
from orchestrator.core.state import (
    BARE,
    IDLE,
    PHASE_BY_NUMBER,
    SAGA_TIMER,
    Phase,
    SagaState,
    StepState,
    StepStatus,
)
from orchestrator.core.transitions import PHASES, STEPS
from orchestrator.core.tuples import constructor
from orchestrator.errors import StateError

# Building a tuple subclass this way skips the generated constructor: a third of an event's cost.
_new = tuple.__new__
_saga_state = constructor(SagaState)


def evolve(state: SagaState | None, event: Event) -> SagaState | None:
    """Fold `event` into `state`; None: there is no saga (before its start, after it is forgotten).

    Pure, needs no definition, adds 1 to the sequence.

    Raises:
        StateError: the tables of `transitions` do not allow the event here; nothing is changed.
    """
    rule = _STEP_RULES.get(type(event))
    if rule is None:
        return _evolve_saga(state, event)
    phases, moves, change, more = rule
    if state is None or state.phase not in phases:
        raise _illegal(state, event)
    index: int = event.step  # type: ignore[union-attr]
    if not 0 <= index < len(state.steps):
        raise _illegal(state, event)
    step = state.steps[index]
    status = moves[step.status]
    if status is None:
        raise _illegal(state, event)
    after = _with_step(state, index, change(step, event, status))
    return after if more is None else more(after, event)


def _evolve_saga(state: SagaState | None, event: Event) -> SagaState | None:
    if isinstance(event, SagaStarted):
        if state is not None:
            raise _illegal(state, event)
        return _started(event)
    change = _SAGA_RULES.get(type(event))
    if change is None or state is None or state.phase not in PHASES[type(event)]:
        raise _illegal(state, event)
    return change(state, event)


def _illegal(state: SagaState | None, event: Event) -> StateError:
    where = "no saga" if state is None else f"{state.phase.name} at sequence {state.sequence}"
    return StateError(f"{type(event).__name__} is not allowed here ({where}): {event!r}")


def _with_step(state: SagaState, index: int, step: StepState) -> SagaState:
    (
        saga_id,
        definition,
        version,
        fingerprint,
        phase,
        sequence,
        payload,
        start_digest,
        started_ms,
        due_ms,
        cause,
        lost,
        decisions,
        faults,
        steps,
    ) = state
    changed = list(steps)
    changed[index] = step
    return _new(
        SagaState,
        (
            saga_id,
            definition,
            version,
            fingerprint,
            phase,
            sequence + 1,
            payload,
            start_digest,
            started_ms,
            due_ms,
            cause,
            lost,
            decisions,
            faults,
            tuple(changed),
        ),
    )


# --- events about one step ----------------------------------------------------------------------


def _requested(step: StepState, event: StepRequested, status: StepStatus) -> StepState:
    _, attempt, due_ms, command, _ = event
    _, _, attempts_before, doubtful, _, command_before, result = step
    # Only the first sending carries the command: an empty one may be a command all the same.
    if attempt != 1:
        command = command_before
    return _new(StepState, (status, attempt, attempts_before, doubtful, due_ms, command, result))


def _succeeded(step: StepState, event: StepSucceeded, status: StepStatus) -> StepState:
    _, _, keep_command, result = event
    _, attempt, attempts_before, doubtful, _, command, _ = step
    kept = command if keep_command else b""
    return _new(StepState, (status, attempt, attempts_before, doubtful, 0, kept, result))


def _failed(step: StepState, _: StepFailed, status: StepStatus) -> StepState:
    return step._replace(status=status, due_ms=0, command=b"")


def _attempt_failed(step: StepState, event: AttemptFailed, status: StepStatus) -> StepState:
    return step._replace(status=status, due_ms=event.due_ms, doubtful=True)


def _given_up(step: StepState, _: Event, status: StepStatus) -> StepState:
    return step._replace(status=status, due_ms=0)


def _undo_requested(
    step: StepState, event: CompensationRequested, status: StepStatus
) -> StepState:
    if event.attempt > 1:
        return step._replace(status=status, attempt=event.attempt, due_ms=event.due_ms)
    # The other direction counts afresh, and needs neither the forward command nor its result.
    return StepState(status, 1, 0, doubtful=False, due_ms=event.due_ms, command=event.command)


def _settled(_: StepState, __: Event, status: StepStatus) -> StepState:
    return BARE[status]


def _undo_stuck(step: StepState, event: CompensationStuck, status: StepStatus) -> StepState:
    # Attempt 0: its command could not be made, so what it is made from is kept for a `retry`.
    before = step.attempts_before if event.attempt else 0
    return step._replace(status=status, attempt=event.attempt, attempts_before=before, due_ms=0)


def _resolved(step: StepState, event: StepResolved, status: StepStatus) -> StepState:
    if status is StepStatus.UNDONE:
        return StepState(status)
    command = step.command if event.keep_command else b""
    return step._replace(status=status, due_ms=0, command=command, result=event.result)


def _maybe_lost(state: SagaState, event: StepUnknown) -> SagaState:
    return state._replace(lost=True) if event.lost else state


def _skipped_too(state: SagaState, _: StepSkipped) -> SagaState:
    return state._replace(lost=True, faults=())


def _resolved_too(state: SagaState, _: StepResolved) -> SagaState:
    # A state does not know which step a faulted node is; `decide` begins the others again.
    return state._replace(faults=())


# --- events about the saga ----------------------------------------------------------------------


def _started(event: SagaStarted) -> SagaState:
    return _saga_state(
        saga_id=event.saga_id,
        definition=event.definition,
        version=event.version,
        fingerprint=event.fingerprint,
        phase=Phase.RUNNING,
        sequence=1,
        payload=event.payload,
        start_digest=event.start_digest,
        started_ms=event.started_ms,
        due_ms=event.due_ms,
        cause="",
        lost=False,
        decisions=(0,) * event.decisions_count,
        faults=(),
        steps=(IDLE,) * event.steps_count,
    )


def _changed(state: SagaState, **fields: Any) -> SagaState:
    return state._replace(sequence=state.sequence + 1, **fields)


def _branch_chosen(state: SagaState, event: BranchChosen) -> SagaState:
    decisions = state.decisions
    if not 0 <= event.decision < len(decisions) or decisions[event.decision]:
        raise _illegal(state, event)
    before, after = decisions[: event.decision], decisions[event.decision + 1 :]
    return _changed(state, decisions=(*before, event.choice, *after))


def _compensation_started(state: SagaState, event: CompensationStarted) -> SagaState:
    return _changed(state, phase=Phase.COMPENSATING, cause=event.cause, faults=())


def _node_faulted(state: SagaState, event: NodeFaulted) -> SagaState:
    return _changed(state, faults=(*state.faults, event.node))


def _retry_ordered(state: SagaState, _: RetryOrdered) -> SagaState:
    steps = tuple(
        step._replace(attempts_before=step.attempt)
        if step.status in (StepStatus.STUCK, StepStatus.UNDO_STUCK)
        else step
        for step in state.steps
    )
    return _changed(state, faults=(), steps=steps)


def _unchanged(state: SagaState, _: CommandRefused | ReplyIgnored) -> SagaState:
    return _changed(state)


def _timer_ignored(state: SagaState, event: TimerIgnored) -> SagaState:
    if event.step == SAGA_TIMER:
        return _changed(state, due_ms=0)
    if not 0 <= event.step < len(state.steps):
        raise _illegal(state, event)
    step = state.steps[event.step]._replace(due_ms=0)
    return _with_step(state, event.step, step)


def _deadline_passed(state: SagaState, _: DeadlinePassed) -> SagaState:
    return _changed(state, due_ms=0)


def _ended(state: SagaState, event: SagaEnded) -> SagaState:
    if event.phase not in PHASES[SagaEnded][state.phase]:
        raise _illegal(state, event)
    # What is remembered of a finished saga is small: it stays only to recognise late duplicates.
    return _changed(
        state,
        phase=PHASE_BY_NUMBER[event.phase],
        payload=b"",
        due_ms=event.forget_ms,
        steps=tuple([BARE[step.status] for step in state.steps]),
    )


def _forgotten(_: SagaState, __: SagaForgotten) -> None:
    return None


# --- dispatch -----------------------------------------------------------------------------------

_StepChange: TypeAlias = Callable[[StepState, Any, StepStatus], StepState]
_SagaChange: TypeAlias = Callable[[SagaState, Any], SagaState]


class _StepRule(NamedTuple):
    phases: frozenset[Phase | None]
    moves: tuple[StepStatus | None, ...]
    """By the status before; None: illegal."""
    change: _StepChange
    more: _SagaChange | None


def _rule(
    event: type[Event], change: _StepChange, more: _SagaChange | None = None
) -> tuple[type[Event], _StepRule]:
    moves = tuple(STEPS[event].get(status) for status in StepStatus)
    return event, _StepRule(frozenset(PHASES[event]), moves, change, more)


_STEP_RULES: dict[type[Event], _StepRule] = dict(
    (
        _rule(StepRequested, _requested),
        _rule(StepSucceeded, _succeeded),
        _rule(StepFailed, _failed),
        _rule(AttemptFailed, _attempt_failed),
        _rule(StepUnknown, _given_up, _maybe_lost),
        _rule(StepStuck, _given_up),
        _rule(CompensationRequested, _undo_requested),
        _rule(CompensationSucceeded, _settled),
        _rule(CompensationStuck, _undo_stuck),
        _rule(StepSkipped, _settled, _skipped_too),
        _rule(StepResolved, _resolved, _resolved_too),
    )
)

_SAGA_RULES: dict[type[Event], Callable[[SagaState, Any], SagaState | None]] = {
    BranchChosen: _branch_chosen,
    CompensationStarted: _compensation_started,
    NodeFaulted: _node_faulted,
    RetryOrdered: _retry_ordered,
    CommandRefused: _unchanged,
    ReplyIgnored: _unchanged,
    TimerIgnored: _timer_ignored,
    DeadlinePassed: _deadline_passed,
    SagaEnded: _ended,
    SagaForgotten: _forgotten,
}
