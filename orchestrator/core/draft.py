"""A decision in the making: the one mutable thing of the core, and only while `decide` runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from orchestrator.core.decision import Decision
from orchestrator.core.definition import Definition
from orchestrator.core.events import Event
from orchestrator.core.evolve import evolve
from orchestrator.core.state import SagaState
from orchestrator.core.tuples import constructor

_decision = constructor(Decision)


class Draft:
    """The state so far and the events that led to it."""

    __slots__ = ("definition", "events", "now_ms", "opening", "state")

    def __init__(self, definition: Definition, state: SagaState, now_ms: int) -> None:
        self.definition = definition
        self.state = state
        self.now_ms = now_ms
        self.events: list[Event] = []
        self.opening: dict[int, int] = {}
        """Parallel nodes whose branches are just being entered, and how many were over at once.

        They are joined when the last has been entered: an empty branch must not end them early.
        """

    def emit(self, event: Event) -> None:
        """Record `event` and fold it into the state."""
        after = evolve(self.state, event)
        assert after is not None  # noqa: S101 - for the type checker: only SagaForgotten gives None
        self.state = after
        self.events.append(event)

    def decision(self) -> Decision:
        """Freeze it."""
        return _decision(tuple(self.events), self.state)


def moment(now_ms: int, span_ms: int) -> int:
    """When `span_ms` will have passed; never 0, which would mean that no timer is armed."""
    return now_ms + max(span_ms, 1)


Move: TypeAlias = Callable[[Draft, int, "Work"], None]
Work: TypeAlias = list[tuple[Move, int]]


def walk(draft: Draft, move: Move, number: int) -> None:
    """Make `move` at node `number`, then every move that follows from it.

    A list of work instead of recursion: a saga may skip a thousand branches in a row.
    """
    work: Work = [(move, number)]
    while work:
        move, number = work.pop()
        move(draft, number, work)
