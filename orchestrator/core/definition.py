"""The frozen tree that the core runs.

The language that users write (`orchestrator.definition`) builds this tree; the codec then binds its
functions to bytes. The core sees every payload as opaque `bytes` and never looks inside: where a
decision needs a value, it calls one of the tree's functions.

A *place* is where a step stands in the tree. Places are numbered from 0 in the order of the text;
that number (`Step.index`) is what state and events carry, the name (`Step.id`) is what people and
participants see.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias


class Fault(NamedTuple):
    """A user's pure function raised instead of giving a value. `text` says what, for people."""

    text: str


PureFunction: TypeAlias = Callable[[tuple[bytes | None, ...]], bytes | Fault]
"""Encoded arguments in (None: a value that is absent), the encoded value out."""

DerivedFunction: TypeAlias = Callable[[tuple[bytes | None, ...]], bytes | Fault | None]
"""The same for a derived value, which may itself be absent (None)."""

TRUE = b"\x01"
"""The encoding of `True` (Avro boolean): what a condition gives when it holds."""


# --- values: where an argument comes from -------------------------------------------------------


class Given(NamedTuple):
    """The saga's start payload."""


class Result(NamedTuple):
    """The result of the step at place `step`; absent until it has succeeded."""

    step: int


class Derived(NamedTuple):
    """A value computed from others by a pure function of the definition."""

    name: str
    function: DerivedFunction
    arguments: tuple[Value, ...]


class Chosen(NamedTuple):
    """The value of whichever branch decision `decision` took; None as a branch: absent."""

    decision: int
    then: Value | None
    otherwise: Value | None


Value: TypeAlias = Given | Result | Derived | Chosen


# --- policies -----------------------------------------------------------------------------------


class RetryPolicy(NamedTuple):
    """How often and how fast a step command is sent again."""

    attempts_max: int | None = 5
    """Sendings in all, the first included. None: for ever."""
    first_ms: int = 1_000
    """Pause before the second sending, in ms."""
    factor: float = 2.0
    """Each further pause is so many times the one before."""
    cap_ms: int = 60_000
    """No pause is longer, in ms."""


FOREVER = RetryPolicy(attempts_max=None)
"""A compensation's default: it is never given up, only alerted about."""


# --- nodes --------------------------------------------------------------------------------------


class Undo(NamedTuple):
    """The compensation of a step: `function((command, result | None))` gives its command."""

    function: PureFunction
    command_type: str
    participant: str
    within_ms: int
    retry: RetryPolicy = FOREVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One request to a participant, and how to take it back."""

    index: int
    """The place: 0, 1, 2, ... in the order of the text."""
    id: str
    """Unique in the definition: path of function names, such as `gift.wrap_gift`."""
    participant: str
    command_type: str
    """Name of the command's class, such as `ReserveSeat`."""
    function: PureFunction
    arguments: tuple[Value, ...]
    within_ms: int
    """How long one attempt may take before it counts as unanswered, in ms."""
    retry: RetryPolicy = RetryPolicy()
    undo: Undo | None = None
    """None: irreversible."""
    pivot: bool = False
    after_pivot: bool = False
    place: str = ""
    """`file:line` of the plan, for people."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other. A named one is a block: drawn as a box, otherwise the same."""

    children: tuple[Node, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Parallel:
    """All at once, joined; undone all at once, each branch in reverse."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """One of two branches, by a condition that is evaluated once and recorded.

    `decision` numbers the choices of a definition from 0. `otherwise` None: `flow.when`.
    """

    decision: int
    name: str
    """Of the condition, for people."""
    condition: Value
    then: Node
    otherwise: Node | None = None


Node: TypeAlias = Step | Sequence | Parallel | Choose


class Position(NamedTuple):
    """Where a node hangs: its parent's number (-1: none) and which child it is."""

    parent: int
    child: int


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A saga definition, checked and frozen. Name and version identify it for ever."""

    name: str
    version: int
    fingerprint: int
    """64 bits over ids, types, policies and shape; the functions' bodies are not in it."""
    deadline_ms: int
    """How long the saga may run before it turns back, counted from its start, in ms."""
    keep_ms: int = 7 * 24 * 3_600_000
    """How long a finished saga's id is remembered, so that a late duplicate is recognised, in ms."""
    root: Sequence
    result: Value | None = None
    """The published outcome of a completed saga."""
    input_type: str = ""
    """Name of the start payload's class, for people and for schemas."""
    doc: str = ""

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node, numbered by its position here: parents before children, in text order."""
        return tuple(node for node, _ in self._walk())

    @cached_property
    def positions(self) -> tuple[Position, ...]:
        """For each node of `nodes`, where it hangs."""
        return tuple(position for _, position in self._walk())

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each node of `nodes`, the numbers of its children, in text order.

        A `Choose` has its `then` first and its `otherwise`, if any, second.
        """
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, position in enumerate(self.positions):
            if position.parent >= 0:
                found[position.parent].append(number)
        return tuple(map(tuple, found))

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Every step by place."""
        steps = (node for node in self.nodes if isinstance(node, Step))
        return tuple(sorted(steps, key=lambda step: step.index))

    @cached_property
    def step_nodes(self) -> tuple[int, ...]:
        """For each place, the number of its node in `nodes`."""
        numbers = {n.index: number for number, n in enumerate(self.nodes) if isinstance(n, Step)}
        return tuple(numbers[index] for index in range(len(numbers)))

    @cached_property
    def places(self) -> dict[str, int]:
        """Step id to place."""
        return {step.id: step.index for step in self.steps}

    @cached_property
    def decisions_count(self) -> int:
        """How many choices the definition has."""
        return sum(isinstance(node, Choose) for node in self.nodes)

    @cached_property
    def pivot(self) -> Step | None:
        """The step that is the point of no return, if there is one."""
        return next((step for step in self.steps if step.pivot), None)

    @cached_property
    def places_read(self) -> frozenset[int]:
        """Every step whose result something reads: an argument, a condition or the outcome."""
        stack: list[Value | None] = [self.result]
        for node in self.nodes:
            if isinstance(node, Step):
                stack.extend(node.arguments)
            elif isinstance(node, Choose):
                stack.append(node.condition)
        seen: set[int] = set()
        found: set[int] = set()
        while stack:
            value = stack.pop()
            # Derived values share their inputs, so a walk without memory could take for ever.
            if value is None or id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, Result):
                found.add(value.step)
            elif isinstance(value, Derived):
                stack.extend(value.arguments)
            elif isinstance(value, Chosen):
                stack.extend((value.then, value.otherwise))
        return frozenset(found)

    @cached_property
    def participants(self) -> frozenset[str]:
        """Everyone who executes a step or a compensation of this definition."""
        undo = {step.undo.participant for step in self.steps if step.undo is not None}
        return frozenset({step.participant for step in self.steps} | undo)

    def _walk(self) -> list[tuple[Node, Position]]:
        # An explicit stack: a plan may be nested deeper than Python's own.
        found: list[tuple[Node, Position]] = []
        stack: list[tuple[Node, Position]] = [(self.root, Position(-1, 0))]
        while stack:
            node, position = stack.pop()
            number = len(found)
            found.append((node, position))
            below = _below(node)
            stack.extend(
                (child, Position(number, which))
                for which, child in reversed(list(enumerate(below)))
            )
        return found


def _below(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Step):
        return ()
    if isinstance(node, Choose):
        return (node.then,) if node.otherwise is None else (node.then, node.otherwise)
    return node.children
