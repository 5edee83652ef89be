"""Operators: what a person may do to a saga. Each is an event with the person's name."""

from __future__ import annotations

from orchestrator.core.attempts import send_again, undo_again
from orchestrator.core.backward import (
    CANCELLED,
    can_turn_back,
    request_undo,
    turn_back,
    unwound,
)
from orchestrator.core.commands import (
    CancelSaga,
    OperatorCommand,
    ResolveStep,
    RetrySaga,
    SkipStep,
)
from orchestrator.core.definition import Step
from orchestrator.core.draft import Draft
from orchestrator.core.events import CommandRefused, RetryOrdered, StepResolved, StepSkipped
from orchestrator.core.forward import begin_again, complete
from orchestrator.core.state import Phase, StepStatus

_NAMES: dict[type[OperatorCommand], str] = {
    CancelSaga: "cancel",
    RetrySaga: "retry",
    SkipStep: "skip",
    ResolveStep: "resolve",
}


_UNDOING = frozenset({StepStatus.UNDO_REQUESTED, StepStatus.UNDO_WAITING, StepStatus.UNDO_STUCK})
_PAUSING = frozenset({StepStatus.WAITING, StepStatus.UNDO_WAITING})
_SENT = frozenset({StepStatus.REQUESTED, StepStatus.UNDO_REQUESTED})


def refused(command: OperatorCommand, reason: str, text: str = "") -> CommandRefused:
    """Give the record of a command that this saga does not take. `reason` is a stable code."""
    return CommandRefused(_NAMES[type(command)], reason, command.actor, text)


# --- cancel and retry ---------------------------------------------------------------------------


def on_cancel(draft: Draft, command: CancelSaga) -> None:
    """Turn the saga back, unless it already turns back or its pivot has been requested."""
    if can_turn_back(draft):
        turn_back(draft, CANCELLED, -1, command.actor, command.reason)
    elif draft.state.phase is Phase.COMPENSATING:
        draft.emit(refused(command, "already_compensating", "the saga already turns back"))
    else:
        draft.emit(refused(command, "past_pivot", "the pivot has been requested: no way back"))


def on_retry(draft: Draft, command: RetrySaga) -> None:
    """Try everything that is stuck once more."""
    faults = draft.state.faults
    stuck = [step for step in draft.definition.steps if _is_stuck(draft, step)]
    if not stuck and not faults:
        draft.emit(refused(command, "not_stuck", "nothing is stuck"))
        return
    draft.emit(RetryOrdered(command.actor, command.reason))
    for step in stuck:
        _try_again(draft, step)
    begin_again(draft, faults)


def _is_stuck(draft: Draft, step: Step) -> bool:
    status = draft.state.steps[step.index].status
    if draft.state.phase is Phase.RUNNING:
        return status is StepStatus.STUCK
    return status is StepStatus.UNDO_STUCK


def _try_again(draft: Draft, step: Step) -> None:
    undo = step.undo
    if draft.state.phase is Phase.RUNNING:
        send_again(draft, step)
    elif undo is not None:
        if draft.state.steps[step.index].attempt:
            undo_again(draft, step, undo)
        else:
            request_undo(draft, step, undo)


# --- skip and resolve ---------------------------------------------------------------------------


def on_skip(draft: Draft, command: SkipStep) -> None:
    """Give up on a step or compensation that is stuck, or that fails again and again."""
    step = _stuck_step(draft, command)
    if step is None:
        return
    node, state = draft.definition.step_nodes[step.index], draft.state
    status, faults = state.steps[step.index].status, state.faults
    skipped = StepSkipped(step.index, command.actor, command.reason)
    if state.phase is Phase.COMPENSATING:
        draft.emit(skipped)
        unwound(draft, node)
    elif not step.after_pivot:
        draft.emit(skipped)
        cause = "step_failed" if status is StepStatus.IDLE else "step_unknown"
        turn_back(draft, cause, step.index)
    elif step.index in draft.definition.places_read:
        draft.emit(refused(command, "result_needed", "its result is read later: resolve it"))
    else:
        draft.emit(skipped)
        _go_on(draft, node, faults)


def on_resolve(draft: Draft, command: ResolveStep) -> None:
    """Take a step or compensation, stuck or failing again and again, as done by hand."""
    step = _stuck_step(draft, command)
    if step is None:
        return
    node, faults = draft.definition.step_nodes[step.index], draft.state.faults
    undoing = draft.state.steps[step.index].status in _UNDOING
    if not (undoing or command.result) and step.index in draft.definition.places_read:
        draft.emit(refused(command, "result_needed", "its result is read later: give one"))
        return
    keep_command = step.undo is not None and not step.after_pivot and not undoing
    result = b"" if undoing else command.result
    draft.emit(
        StepResolved(step.index, keep_command, command.actor, command.reason, result),
    )
    if undoing:
        unwound(draft, node)
    else:
        _go_on(draft, node, faults)


def _stuck_step(draft: Draft, command: SkipStep | ResolveStep) -> Step | None:
    # The step that the command names, if a person may decide about it; refuses the command if not.
    place = draft.definition.places.get(command.step_id)
    if place is None:
        draft.emit(refused(command, "unknown_step", "the saga has no step of this id"))
        return None
    step = draft.definition.steps[place]
    faulted = draft.definition.step_nodes[place] in draft.state.faults
    if faulted or _is_stuck(draft, step) or _is_failing(draft, step):
        return step
    draft.emit(refused(command, "not_stuck", "the step is not stuck"))
    return None


def _is_failing(draft: Draft, step: Step) -> bool:
    # What has failed and is tried again where there is no way back, perhaps for ever: a person may
    # know better, and must not have to wait for a participant that is gone.
    state = draft.state.steps[step.index]
    if state.status not in _UNDOING:
        no_way_back = step.after_pivot or (step.pivot and step.undo is None)
        if not no_way_back or draft.state.phase is not Phase.RUNNING:
            return False
    if state.status in _PAUSING:
        return True
    return state.status in _SENT and state.attempt > state.attempts_before + 1


def _go_on(draft: Draft, node: int, faults: tuple[int, ...]) -> None:
    complete(draft, node)
    begin_again(draft, tuple(number for number in faults if number != node))
