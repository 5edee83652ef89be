"""The timeline of one saga: each event with its time, cause and place in the topics. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Cause, Transition
from orchestrator.core.events import CompensationRequested, Event, StepRequested

_SHOWN_APART = frozenset({"step", "step_id", "attempt", "actor"})


class Moment(NamedTuple):
    """One event of a saga, and everything that explains it."""

    sequence: int
    at_ms: int
    event: str
    """Its class's name, such as `StepRequested`."""
    step: str
    """Id of the step; `#3` if only its place is known; empty for an event of the whole saga."""
    attempt: int
    """0: the event is of no attempt."""
    cause: Cause
    origin: Origin
    """The record of `saga.events` that holds it."""
    details: tuple[tuple[str, Any], ...]
    """The event's other fields."""

    @property
    def actor(self) -> str:
        """Who did it: an operator, or the participant that answered; empty for a timer."""
        return self.cause.actor


def timeline(entries: Iterable[tuple[Origin, Transition]]) -> Iterator[Moment]:
    """Unroll one saga's transitions, in log order, into its moments.

    Only the first request of a step carries the step's id; later events are named after it.
    """
    names: dict[int, str] = {}
    for origin, transition in entries:
        for index, event in enumerate(transition.events):
            yield _moment(transition, index, event, origin, names)


def _moment(
    transition: Transition, index: int, event: Event, origin: Origin, names: dict[int, str]
) -> Moment:
    place: int = getattr(event, "step", -1)
    if step_id := getattr(event, "step_id", ""):
        names[place] = step_id
    return Moment(
        sequence=transition.sequence + index,
        at_ms=transition.at_ms,
        event=type(event).__name__,
        step="" if place < 0 else names.get(place, f"#{place}"),
        attempt=getattr(event, "attempt", 0),
        cause=transition.cause,
        origin=origin,
        details=tuple(
            (name, value) for name, value in event._asdict().items() if name not in _SHOWN_APART
        ),
    )


def step_names(transitions: Iterable[Transition]) -> dict[int, str]:
    """Give the ids of all steps that these transitions requested, by place."""
    return {
        event.step: event.step_id
        for transition in transitions
        for event in transition.events
        if isinstance(event, StepRequested | CompensationRequested)
    }
