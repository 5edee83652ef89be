"""Replies: what a participant's answer does to a saga that has not ended."""

from __future__ import annotations

from orchestrator.core.attempts import DO, UNDO, attempt_failed, undo_attempt_failed
from orchestrator.core.backward import turn_back, unwind, unwound
from orchestrator.core.commands import ReplyOutcome, ReplyReceived
from orchestrator.core.definition import Step, Undo
from orchestrator.core.draft import Draft
from orchestrator.core.events import (
    CompensationStuck,
    CompensationSucceeded,
    ReplyIgnored,
    StepFailed,
    StepStuck,
    StepSucceeded,
    StepUnknown,
)
from orchestrator.core.forward import complete
from orchestrator.core.state import Phase, StepState, StepStatus
from orchestrator.core.tuples import constructor

_step_succeeded = constructor(StepSucceeded)

# A module's own names: in CPython 3.11 a member of an enum is read at a fifth of their speed.
_RUNNING, _IDLE, _DONE = Phase.RUNNING, StepStatus.IDLE, ReplyOutcome.SUCCEEDED

_AWAITED = frozenset({StepStatus.REQUESTED, StepStatus.WAITING, StepStatus.STUCK})
_UNDO_AWAITED = frozenset(
    {StepStatus.UNDO_REQUESTED, StepStatus.UNDO_WAITING, StepStatus.UNDO_STUCK}
)
_SETTLED = {
    StepStatus.SUCCEEDED: ReplyOutcome.SUCCEEDED,
    StepStatus.FAILED: ReplyOutcome.FAILED,
    StepStatus.UNDONE: ReplyOutcome.SUCCEEDED,
}
"""Statuses that an answer gave; the same answer again is a duplicate."""


def on_reply(draft: Draft, reply: ReplyReceived) -> None:
    """Act on `reply`, or record why it was ignored."""
    place = draft.definition.places.get(reply.step_id)
    if place is None:
        _ignore(draft, -1, reply, "unknown_step")
        return
    step = draft.definition.steps[place]
    if reply.direction == DO:
        _on_answer(draft, step, reply)
    elif reply.direction == UNDO:
        _on_undo_answer(draft, step, reply)
    else:
        _ignore(draft, place, reply, "wrong_direction")


def ignored(reply: ReplyReceived, reason: str) -> ReplyIgnored:
    """Give the record of a reply to a saga that has ended."""
    return ReplyIgnored(-1, reply.direction, reply.attempt, reason)


def _ignore(draft: Draft, place: int, reply: ReplyReceived, reason: str) -> None:
    draft.emit(ReplyIgnored(place, reply.direction, reply.attempt, reason))


# --- forward ------------------------------------------------------------------------------------


def _on_answer(draft: Draft, step: Step, reply: ReplyReceived) -> None:
    before = draft.state.steps[step.index]
    if reply.participant != step.participant:
        _ignore(draft, step.index, reply, "wrong_participant")
    elif before.status is _IDLE:
        _ignore(draft, step.index, reply, "future_attempt")
    elif before.status not in _AWAITED:
        _ignore(draft, step.index, reply, _repeated(before, reply, DO))
    elif not 1 <= reply.attempt <= before.attempt:
        _ignore(draft, step.index, reply, _misnumbered(before, reply))
    elif reply.outcome is _DONE:
        _succeed(draft, step, reply)
    elif reply.outcome is ReplyOutcome.FAILED:
        _decline(draft, step, reply, before)
    elif reply.attempt < before.attempt:
        _ignore(draft, step.index, reply, "stale")
    elif before.status is StepStatus.REQUESTED:
        attempt_failed(draft, step, "retry", reply.text)
    else:
        _ignore(draft, step.index, reply, "late")


def _succeed(draft: Draft, step: Step, reply: ReplyReceived) -> None:
    keep_command = step.undo is not None and not step.after_pivot
    draft.emit(_step_succeeded(step.index, reply.attempt, keep_command, reply.payload))
    node = draft.definition.step_nodes[step.index]
    if draft.state.phase is _RUNNING:
        complete(draft, node)
    else:
        unwind(draft, node)


def _decline(draft: Draft, step: Step, reply: ReplyReceived, before: StepState) -> None:
    index, running = step.index, draft.state.phase is _RUNNING
    if running and step.after_pivot:
        if before.status is StepStatus.STUCK:
            _ignore(draft, index, reply, "late")
        else:
            draft.emit(StepStuck(index, reply.attempt, "declared_failure", reply.text))
        return
    # An earlier sending that was not answered clearly may have worked all the same.
    doubtful = before.doubtful or reply.attempt < before.attempt
    if doubtful and step.undo is not None and before.status is not StepStatus.STUCK:
        draft.emit(StepUnknown(index, reply.attempt, False, "doubtful_failure", reply.text))
    else:
        draft.emit(StepFailed(index, reply.attempt, reply.payload, reply.text))
    if running:
        turn_back(draft, "step_failed", index)
    else:
        unwind(draft, draft.definition.step_nodes[index])


# --- backward -----------------------------------------------------------------------------------


def _on_undo_answer(draft: Draft, step: Step, reply: ReplyReceived) -> None:
    before, undo = draft.state.steps[step.index], step.undo
    if undo is None or before.status < StepStatus.UNDO_REQUESTED:
        _ignore(draft, step.index, reply, "wrong_direction")
    elif reply.participant != undo.participant:
        _ignore(draft, step.index, reply, "wrong_participant")
    elif draft.state.phase is _RUNNING or before.status not in _UNDO_AWAITED:
        _ignore(draft, step.index, reply, _repeated(before, reply, UNDO))
    elif not 1 <= reply.attempt <= before.attempt:
        _ignore(draft, step.index, reply, _misnumbered(before, reply))
    elif reply.outcome is _DONE:
        draft.emit(CompensationSucceeded(step.index, reply.attempt))
        unwound(draft, draft.definition.step_nodes[step.index])
    elif before.status is StepStatus.UNDO_STUCK:
        _ignore(draft, step.index, reply, "late")
    else:
        _on_undo_refused(draft, step, undo, reply)


def _on_undo_refused(draft: Draft, step: Step, undo: Undo, reply: ReplyReceived) -> None:
    before = draft.state.steps[step.index]
    if reply.outcome is ReplyOutcome.FAILED:
        stuck = CompensationStuck(step.index, before.attempt, "declared_failure", reply.text)
        draft.emit(stuck)
        unwound(draft, draft.definition.step_nodes[step.index])
    elif reply.attempt < before.attempt:
        _ignore(draft, step.index, reply, "stale")
    elif before.status is StepStatus.UNDO_REQUESTED:
        undo_attempt_failed(draft, step, undo, "retry", reply.text)
    else:
        _ignore(draft, step.index, reply, "late")


# --- why a reply is ignored ---------------------------------------------------------------------


def _repeated(before: StepState, reply: ReplyReceived, direction: str) -> str:
    undone = before.status is StepStatus.UNDONE
    same = _SETTLED.get(before.status) is reply.outcome and undone == (direction == UNDO)
    return "duplicate" if same else "late"


def _misnumbered(before: StepState, reply: ReplyReceived) -> str:
    return "future_attempt" if reply.attempt > before.attempt else "stale"
