"""Timers: what the passing of time does to a saga that has not ended."""

from __future__ import annotations

from orchestrator.core.attempts import attempt_failed, send_again, undo_again, undo_attempt_failed
from orchestrator.core.backward import can_turn_back, turn_back, unwind
from orchestrator.core.commands import TimerFired
from orchestrator.core.definition import Step
from orchestrator.core.draft import Draft
from orchestrator.core.events import DeadlinePassed, TimerIgnored
from orchestrator.core.state import SAGA_TIMER, Phase, SagaState, StepStatus


def is_due(state: SagaState, timer: TimerFired, now_ms: int) -> bool:
    """Say whether this very timer is armed in `state`, and its time has come."""
    if timer.step == SAGA_TIMER:
        armed_ms = state.due_ms
    elif 0 <= timer.step < len(state.steps):
        armed_ms = state.steps[timer.step].due_ms
    else:
        return False
    return 0 < armed_ms == timer.due_ms <= now_ms


def on_timer(draft: Draft, timer: TimerFired) -> None:
    """Act on a timer that is due."""
    if timer.step == SAGA_TIMER:
        _on_deadline(draft)
        return
    step = draft.definition.steps[timer.step]
    status = draft.state.steps[step.index].status
    if status is StepStatus.REQUESTED:
        attempt_failed(draft, step, "timeout", "")
    elif status is StepStatus.WAITING:
        _on_pause_over(draft, step)
    else:
        _on_undo_timer(draft, step, status)


def _on_deadline(draft: Draft) -> None:
    if can_turn_back(draft):
        turn_back(draft, "deadline", -1)
    else:
        draft.emit(DeadlinePassed())


def _on_pause_over(draft: Draft, step: Step) -> None:
    if draft.state.phase is Phase.RUNNING:
        send_again(draft, step)
    else:
        unwind(draft, draft.definition.step_nodes[step.index])


def _on_undo_timer(draft: Draft, step: Step, status: StepStatus) -> None:
    undo = step.undo
    if undo is None or draft.state.phase is not Phase.COMPENSATING:
        draft.emit(TimerIgnored(step.index))
    elif status is StepStatus.UNDO_REQUESTED:
        undo_attempt_failed(draft, step, undo, "timeout", "")
    elif status is StepStatus.UNDO_WAITING:
        undo_again(draft, step, undo)
    else:
        draft.emit(TimerIgnored(step.index))
