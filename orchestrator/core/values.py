"""evaluate: what a value of the definition is worth in a state."""

from __future__ import annotations

from orchestrator.core.definition import Chosen, Derived, Fault, Given, Result, Value
from orchestrator.core.state import SagaState, StepStatus

_SUCCEEDED = StepStatus.SUCCEEDED


def evaluate(value: Value, state: SagaState) -> bytes | Fault | None:
    """Give the encoded value; None: absent; Fault: one of the definition's functions raised.

    Each derived value is computed once, however often it is read, and a chain of them may be
    deeper than Python's own stack.
    """
    if isinstance(value, Given):
        return state.payload
    if isinstance(value, Result):
        step = state.steps[value.step]
        return step.result if step.status is _SUCCEEDED else None
    return _evaluate_deep(value, state)


def arguments(values: tuple[Value, ...], state: SagaState) -> tuple[bytes | None, ...] | Fault:
    """Evaluate all of `values`; the first Fault, if there is one."""
    found: list[bytes | None] = []
    for value in values:
        worth = evaluate(value, state)
        if isinstance(worth, Fault):
            return worth
        found.append(worth)
    return tuple(found)


def _evaluate_deep(value: Derived | Chosen, state: SagaState) -> bytes | Fault | None:
    known: dict[int, bytes | Fault | None] = {}
    stack: list[Value] = [value]
    while stack:
        top = stack[-1]
        if isinstance(top, Given | Result):
            known[id(top)] = evaluate(top, state)
            stack.pop()
            continue
        needed = _needed(top, state)
        missing = [need for need in needed if id(need) not in known]
        if missing:
            stack.extend(reversed(missing))
            continue
        stack.pop()
        if id(top) not in known:
            known[id(top)] = _worth(top, [known[id(need)] for need in needed])
    return known[id(value)]


def _needed(value: Derived | Chosen, state: SagaState) -> tuple[Value, ...]:
    if isinstance(value, Derived):
        return value.arguments
    branch = (None, value.then, value.otherwise)[state.decisions[value.decision]]
    return () if branch is None else (branch,)


def _worth(value: Derived | Chosen, inputs: list[bytes | Fault | None]) -> bytes | Fault | None:
    if isinstance(value, Chosen):
        return inputs[0] if inputs else None
    found: list[bytes | None] = []
    for worth in inputs:
        if isinstance(worth, Fault):
            return worth
        found.append(worth)
    return value.function(tuple(found))
