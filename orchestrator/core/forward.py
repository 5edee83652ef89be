"""Forward: begin a node, and go on from one that is complete. Never looks at the whole tree."""

from __future__ import annotations

from orchestrator.core.definition import TRUE, Choose, Fault, Sequence, Step
from orchestrator.core.draft import Draft, Work, moment, walk
from orchestrator.core.events import BranchChosen, NodeFaulted, SagaEnded, StepRequested
from orchestrator.core.state import Consistency, Phase, StepStatus
from orchestrator.core.tuples import constructor
from orchestrator.core.values import arguments, evaluate

_step_requested, _saga_ended = constructor(StepRequested), constructor(SagaEnded)

ROOT = 0


def begin(draft: Draft, number: int) -> None:
    """Begin node `number` and all that follows at once."""
    walk(draft, _begin, number)


def complete(draft: Draft, number: int) -> None:
    """Go on from node `number`, which is complete."""
    walk(draft, _complete, number)


def begin_again(draft: Draft, faults: tuple[int, ...]) -> None:
    """Begin nodes that had faulted. The root faults only over the saga's result, at its very end."""
    for number in faults:
        if number == ROOT:
            complete(draft, ROOT)
        else:
            begin(draft, number)


_COMPLETE = frozenset({StepStatus.SUCCEEDED, StepStatus.SKIPPED})


def _begin(draft: Draft, number: int, work: Work) -> None:
    node = draft.definition.nodes[number]
    if isinstance(node, Step):
        _begin_step(draft, number, node)
    elif isinstance(node, Choose):
        _begin_choose(draft, number, node, work)
    else:
        children = draft.definition.children[number]
        if isinstance(node, Sequence):
            work.append((_begin, children[0]) if children else (_complete, number))
        else:
            draft.opening[number] = 0
            work.append((_join, number))
            work.extend((_begin, child) for child in reversed(children))


def _begin_step(draft: Draft, number: int, step: Step) -> None:
    given = arguments(step.arguments, draft.state)
    command = given if isinstance(given, Fault) else step.function(given)
    if isinstance(command, Fault):
        draft.emit(NodeFaulted(number, command.text))
    else:
        due_ms = moment(draft.now_ms, step.within_ms)
        draft.emit(_step_requested(step.index, 1, due_ms, command, step.id))


def _begin_choose(draft: Draft, number: int, node: Choose, work: Work) -> None:
    holds = evaluate(node.condition, draft.state)
    if isinstance(holds, Fault):
        draft.emit(NodeFaulted(number, holds.text))
        return
    choice = 1 if holds == TRUE else 2
    draft.emit(BranchChosen(node.decision, choice, node.name))
    taken = draft.definition.children[number][choice - 1 : choice]
    work.append((_begin, taken[0]) if taken else (_complete, number))


def _complete(draft: Draft, number: int, work: Work) -> None:
    parent, child = draft.definition.positions[number]
    if parent < 0:
        _end(draft)
        return
    kind = type(draft.definition.nodes[parent])
    if kind is Sequence:
        siblings = draft.definition.children[parent]
        after = child + 1
        work.append((_begin, siblings[after]) if after < len(siblings) else (_complete, parent))
    elif kind is Choose:
        work.append((_complete, parent))
    elif parent in draft.opening:
        draft.opening[parent] += 1
    elif _is_joined(draft, parent, number):
        work.append((_complete, parent))


def _join(draft: Draft, number: int, work: Work) -> None:
    if draft.opening.pop(number) == len(draft.definition.children[number]):
        work.append((_complete, number))


def _is_joined(draft: Draft, number: int, known: int) -> bool:
    # `known` is complete already: not to look into it again keeps a deep plan linear.
    branches = reversed(draft.definition.children[number])
    return all(_is_complete(draft, branch) for branch in branches if branch != known)


def _is_complete(draft: Draft, number: int) -> bool:
    # Asks the last node first: it is the likeliest to be left.
    definition, state = draft.definition, draft.state
    stack = [number]
    while stack:
        number = stack.pop()
        node = definition.nodes[number]
        if isinstance(node, Step):
            if state.steps[node.index].status not in _COMPLETE:
                return False
        elif isinstance(node, Choose):
            choice = state.decisions[node.decision]
            if choice == 0:
                return False
            stack.extend(definition.children[number][choice - 1 : choice])
        else:
            stack.extend(definition.children[number])
    return True


def _end(draft: Draft) -> None:
    value = draft.definition.result
    result = b"" if value is None else evaluate(value, draft.state)
    if isinstance(result, Fault):
        draft.emit(NodeFaulted(ROOT, result.text))
        return
    consistency = Consistency.UNKNOWN if draft.state.lost else Consistency.CONSISTENT
    forget_ms = moment(draft.now_ms, draft.definition.keep_ms)
    draft.emit(_saga_ended(Phase.COMPLETED, consistency, forget_ms, result or b""))
