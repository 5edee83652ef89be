"""Backward: turn a saga back, and undo its steps in the reverse of the order they ran in."""

from __future__ import annotations

from orchestrator.core.definition import Choose, Fault, Parallel, Sequence, Step, Undo
from orchestrator.core.draft import Draft, Work, moment, walk
from orchestrator.core.events import (
    CompensationRequested,
    CompensationStarted,
    CompensationStuck,
    SagaEnded,
    StepUnknown,
)
from orchestrator.core.state import Consistency, Phase, StepState, StepStatus

CANCELLED = "cancelled"
"""The cause of a saga that turns back because somebody asked."""

_ROOT = 0
_MAY_HAVE_HAPPENED = frozenset({StepStatus.SUCCEEDED, StepStatus.UNKNOWN})
_WAITED_FOR = frozenset(
    {
        StepStatus.REQUESTED,
        StepStatus.STUCK,
        StepStatus.UNDO_REQUESTED,
        StepStatus.UNDO_WAITING,
    }
)
_UNSETTLED = _WAITED_FOR | {StepStatus.WAITING, StepStatus.UNDO_STUCK}


def can_turn_back(draft: Draft) -> bool:
    """Say whether the saga still runs forward and its pivot has not been requested."""
    if draft.state.phase is not Phase.RUNNING:
        return False
    pivot = draft.definition.pivot
    if pivot is None:
        return True
    return draft.state.steps[pivot.index].status in (StepStatus.IDLE, StepStatus.FAILED)


def turn_back(draft: Draft, cause: str, step: int, actor: str = "", text: str = "") -> None:
    """Start the compensation of everything that happened or may have happened."""
    draft.emit(CompensationStarted(cause, step, actor, text))
    unwind(draft, _ROOT)


def unwind(draft: Draft, number: int) -> None:
    """Undo node `number`, then go on backward."""
    walk(draft, _unwind, number)


def unwound(draft: Draft, number: int) -> None:
    """Go on backward from node `number`, whose undoing is over."""
    walk(draft, _unwound, number)


def request_undo(draft: Draft, step: Step, undo: Undo) -> bool:
    """Make and send the step's compensation; False if its function raised: it is stuck then."""
    before = draft.state.steps[step.index]
    command = undo.function((before.command or None, before.result or None))
    if isinstance(command, Fault):
        draft.emit(CompensationStuck(step.index, 0, "definition_raised", command.text))
        return False
    due_ms = moment(draft.now_ms, undo.within_ms)
    draft.emit(CompensationRequested(step.index, 1, due_ms, command, step.id))
    return True


def _unwind(draft: Draft, number: int, work: Work) -> None:
    node = draft.definition.nodes[number]
    if isinstance(node, Step):
        if not _waits_for(draft, node):
            work.append((_unwound, number))
    elif isinstance(node, Choose):
        taken = _taken(draft, number, node)
        work.append((_unwind, taken[0]) if taken else (_unwound, number))
    else:
        children = draft.definition.children[number]
        if isinstance(node, Sequence):
            work.append((_unwind, children[-1]) if children else (_unwound, number))
        else:
            draft.opening[number] = 0
            work.append((_join, number))
            work.extend((_unwind, child) for child in reversed(children))


def _waits_for(draft: Draft, step: Step) -> bool:
    before = draft.state.steps[step.index]
    status = before.status
    if status is StepStatus.WAITING:
        # Nothing is in flight for it, and no attempt will follow.
        lost = step.undo is None
        draft.emit(StepUnknown(step.index, before.attempt, lost, "turned_back", ""))
        status = StepStatus.UNKNOWN
    if step.undo is not None and status in _MAY_HAVE_HAPPENED:
        return request_undo(draft, step, step.undo)
    return status in _WAITED_FOR


def _taken(draft: Draft, number: int, node: Choose) -> tuple[int, ...]:
    choice = draft.state.decisions[node.decision]
    return draft.definition.children[number][choice - 1 : choice] if choice else ()


def _unwound(draft: Draft, number: int, work: Work) -> None:
    parent, child = draft.definition.positions[number]
    if parent < 0:
        _end(draft)
        return
    kind = type(draft.definition.nodes[parent])
    if kind is Sequence and child:
        work.append((_unwind, draft.definition.children[parent][child - 1]))
    elif kind is not Parallel:
        work.append((_unwound, parent))
    elif parent in draft.opening:
        draft.opening[parent] += 1
    elif _is_joined(draft, parent, number):
        work.append((_unwound, parent))


def _join(draft: Draft, number: int, work: Work) -> None:
    if draft.opening.pop(number) == len(draft.definition.children[number]):
        work.append((_unwound, number))


def _is_joined(draft: Draft, number: int, known: int) -> bool:
    # `known` is over already: not to look into it again keeps a deep plan linear.
    branches = draft.definition.children[number]
    return all(_is_unwound(draft, branch) for branch in branches if branch != known)


def _is_unwound(draft: Draft, number: int) -> bool:
    stack = [number]
    while stack:
        number = stack.pop()
        node = draft.definition.nodes[number]
        if isinstance(node, Step):
            if _holds_up(node, draft.state.steps[node.index]):
                return False
        elif isinstance(node, Choose):
            stack.extend(_taken(draft, number, node))
        else:
            stack.extend(reversed(draft.definition.children[number]))
    return True


def _holds_up(step: Step, state: StepState) -> bool:
    # A compensation that is stuck holds up nobody: the others still run.
    if state.status in _MAY_HAVE_HAPPENED:
        return step.undo is not None
    return state.status in _WAITED_FOR


def _end(draft: Draft) -> None:
    state = draft.state
    if any(step.status in _UNSETTLED for step in state.steps):
        return
    phase = Phase.CANCELLED if state.cause == CANCELLED else Phase.ROLLED_BACK
    consistency = Consistency.UNKNOWN if state.lost else Consistency.CONSISTENT
    forget_ms = moment(draft.now_ms, draft.definition.keep_ms)
    draft.emit(SagaEnded(phase, consistency, forget_ms, b""))
