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


class TurnedBack(NamedTuple):
    """Why a saga turned back."""

    cause: str
    """`step_failed`, `step_unknown`, `deadline` or `cancelled`."""
    step: str
    """Which step it was; empty: none."""
    reason: str
    """Of a step given up: `attempts_exhausted`, `doubtful_failure`...; else an operator's reason."""
    text: str
    """For people, as the participant or the operator had it; may be empty."""
    failure: bytes
    """The declared failure, encoded; empty: none."""
    actor: str
    """The operator, if it was one."""


_GIVEN_UP = frozenset({"StepFailed", "StepUnknown", "StepSkipped"})
_STUCK = frozenset({"StepStuck", "CompensationStuck", "NodeFaulted"})
_LOOSE = frozenset(
    {"StepSucceeded", "StepFailed", "StepSkipped", "StepResolved", "CompensationSucceeded"}
)


def turned_back(moments: Iterable[Moment]) -> TurnedBack | None:
    """Say why a saga turned back; None: it did not."""
    given_up: dict[str, Moment] = {}
    for moment in moments:
        if moment.event in _GIVEN_UP:
            given_up[moment.step] = moment
        elif moment.event == "CompensationStarted":
            return _turned_back(moment, given_up.get(moment.step))
    return None


def _turned_back(moment: Moment, why: Moment | None) -> TurnedBack:
    began = dict(moment.details)
    told = {} if why is None else dict(why.details)
    by_person = moment.cause.kind == "operator"
    return TurnedBack(
        began["cause"],
        moment.step,
        told.get("reason", began["text"] if by_person else ""),
        told.get("text", ""),
        told.get("failure", b""),
        moment.actor if by_person else "",
    )


def stuck_at(moments: Iterable[Moment]) -> tuple[Moment, ...]:
    """Give the events that a person must look at: where a saga is stuck now."""
    stuck: dict[str, Moment] = {}
    for moment in moments:
        if moment.event in _STUCK:
            stuck[moment.step or f"node {dict(moment.details)['node']}"] = moment
        elif moment.event == "RetryOrdered":
            stuck.clear()
        elif moment.event in _LOOSE:
            stuck.pop(moment.step, None)
        if moment.event in {"StepSkipped", "StepResolved"}:
            # Whatever could not begin is begun again, and says so if it still cannot.
            stuck = {name: one for name, one in stuck.items() if one.event != "NodeFaulted"}
    return tuple(stuck.values())
