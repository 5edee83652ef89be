"""One sending that brought nothing: send again later, or give up."""

from __future__ import annotations

from zlib import crc32

from orchestrator.core.backward import turn_back, unwind, unwound
from orchestrator.core.definition import RetryPolicy, Step, Undo
from orchestrator.core.draft import Draft, moment
from orchestrator.core.events import (
    AttemptFailed,
    CompensationRequested,
    CompensationStuck,
    StepRequested,
    StepStuck,
    StepUnknown,
)
from orchestrator.core.ids import Direction, EffectId
from orchestrator.core.state import Phase, StepState

DO, UNDO = Direction.DO.value, Direction.UNDO.value


def pause_ms(policy: RetryPolicy, failed_count: int, effect_id: str) -> int:
    """How long to wait after `failed_count` failed sendings (from 1), in ms.

    Exponential, capped, and shortened by up to a half. That jitter keeps many sagas from coming
    back in step; it is derived from the effect's id, so that every owner computes the same.
    """
    try:
        pause = min(policy.first_ms * policy.factor ** (failed_count - 1), policy.cap_ms)
    except OverflowError:
        pause = policy.cap_ms
    return int(pause * (0.5 + crc32(effect_id.encode()) / 2**33))


def send_again(draft: Draft, step: Step) -> None:
    """Send the step's command once more."""
    attempt = draft.state.steps[step.index].attempt + 1
    due_ms = moment(draft.now_ms, step.within_ms)
    draft.emit(StepRequested(step.index, attempt, due_ms, b"", step.id))


def undo_again(draft: Draft, step: Step, undo: Undo) -> None:
    """Send the step's compensation once more."""
    attempt = draft.state.steps[step.index].attempt + 1
    due_ms = moment(draft.now_ms, undo.within_ms)
    draft.emit(CompensationRequested(step.index, attempt, due_ms, b"", step.id))


def attempt_failed(draft: Draft, step: Step, reason: str, text: str) -> None:
    """Handle a sending of `step` that brought no answer, or the answer `retry`."""
    before = draft.state.steps[step.index]
    if draft.state.phase is Phase.COMPENSATING:
        _give_up(draft, step, before.attempt, reason, text)
        unwind(draft, draft.definition.step_nodes[step.index])
    elif not _exhausted(before, step.retry):
        _wait(draft, step, step.retry, reason, text)
    elif step.after_pivot or (step.pivot and step.undo is None):
        draft.emit(StepStuck(step.index, before.attempt, "attempts_exhausted", text))
    else:
        _give_up(draft, step, before.attempt, "attempts_exhausted", text)
        turn_back(draft, "step_unknown", step.index)


def undo_attempt_failed(draft: Draft, step: Step, undo: Undo, reason: str, text: str) -> None:
    """Handle a sending of the step's compensation that brought no answer, or `retry`."""
    before = draft.state.steps[step.index]
    if not _exhausted(before, undo.retry):
        _wait(draft, step, undo.retry, reason, text)
        return
    draft.emit(CompensationStuck(step.index, before.attempt, "attempts_exhausted", text))
    unwound(draft, draft.definition.step_nodes[step.index])


def _give_up(draft: Draft, step: Step, attempt: int, reason: str, text: str) -> None:
    draft.emit(StepUnknown(step.index, attempt, step.undo is None, reason, text))


def _exhausted(step: StepState, policy: RetryPolicy) -> bool:
    if policy.attempts_max is None:
        return False
    return step.attempt - step.attempts_before >= policy.attempts_max


def _wait(draft: Draft, step: Step, policy: RetryPolicy, reason: str, text: str) -> None:
    before = draft.state.steps[step.index]
    direction = DO if draft.state.phase is Phase.RUNNING else UNDO
    effect = str(EffectId(draft.state.saga_id, step.id, direction, before.attempt))
    pause = pause_ms(policy, before.attempt - before.attempts_before, effect)
    due_ms = moment(draft.now_ms, pause)
    draft.emit(AttemptFailed(step.index, before.attempt, due_ms, reason, text))
