"""Events as rows of one wide table: which column of the wire each field of an event is in.

One record type for all events costs a fraction of a union of twenty-two, and a reader of another
language sees the same columns in every event. A column that an event does not use holds its none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from orchestrator.codec.binary import Parts
from orchestrator.codec.records import Transition
from orchestrator.codec.refusals import refuse
from orchestrator.core import events as ev
from orchestrator.core.events import EVENT_NUMBERS, Event
from orchestrator.core.state import Consistency, Phase

E = TypeVar("E")


class Started(NamedTuple):
    """What only the first event has."""

    version: int
    fingerprint: int
    steps_count: int
    decisions_count: int
    started_ms: int
    start_digest: bytes


class Ended(NamedTuple):
    """What only the last event has."""

    phase: int
    consistency: int


class Row(NamedTuple):
    """The columns, with their nones."""

    type: int
    step: int = -1
    attempt: int = 0
    due_ms: int = 0
    flag: int = 0
    name: str = ""
    reason: str = ""
    actor: str = ""
    text: str = ""
    payload: bytes = b""
    details: Started | Ended | None = None


COLUMNS: dict[type[Event], tuple[str, ...]] = {
    ev.BranchChosen: ("step", "flag", "name"),
    ev.StepRequested: ("step", "attempt", "due_ms", "payload", "name"),
    ev.StepSucceeded: ("step", "attempt", "flag", "payload"),
    ev.StepFailed: ("step", "attempt", "payload", "text"),
    ev.AttemptFailed: ("step", "attempt", "due_ms", "reason", "text"),
    ev.StepUnknown: ("step", "attempt", "flag", "reason", "text"),
    ev.StepStuck: ("step", "attempt", "reason", "text"),
    ev.CompensationStarted: ("name", "step", "actor", "text"),
    ev.CompensationRequested: ("step", "attempt", "due_ms", "payload", "name"),
    ev.CompensationSucceeded: ("step", "attempt"),
    ev.CompensationStuck: ("step", "attempt", "reason", "text"),
    ev.NodeFaulted: ("step", "text"),
    ev.RetryOrdered: ("actor", "reason"),
    ev.StepSkipped: ("step", "actor", "reason"),
    ev.StepResolved: ("step", "flag", "actor", "reason", "payload"),
    ev.CommandRefused: ("name", "reason", "actor", "text"),
    ev.ReplyIgnored: ("step", "name", "attempt", "reason"),
    ev.TimerIgnored: ("step",),
    ev.DeadlinePassed: (),
    ev.SagaForgotten: (),
}
"""For each event, the column of each of its fields in order. `SagaStarted` and `SagaEnded` also have
`details`, and are written by hand below; the saga id of `SagaStarted` is the transition's own."""

_TRUTHS = frozenset({ev.StepSucceeded, ev.StepUnknown, ev.StepResolved})
"""Events whose `flag` is a truth, not a choice."""

_PLACES = {column: index for index, column in enumerate(Row._fields)}


def _pack_started(event: ev.SagaStarted) -> Row:
    details = Started(
        event.version,
        event.fingerprint,
        event.steps_count,
        event.decisions_count,
        event.started_ms,
        event.start_digest,
    )
    return Row(
        EVENT_NUMBERS[ev.SagaStarted],
        due_ms=event.due_ms,
        name=event.definition,
        payload=event.payload,
        details=details,
    )


def _unpack_started(row: Row) -> ev.SagaStarted:
    details = row.details
    if not isinstance(details, Started):
        raise refuse("malformed_record", "a first event has no details")
    event = ev.SagaStarted(
        "",
        row.name,
        details.version,
        details.fingerprint,
        details.steps_count,
        details.decisions_count,
        details.started_ms,
        row.due_ms,
        details.start_digest,
        row.payload,
    )
    return _only(row, event, _pack_started(event))


def _pack_ended(event: ev.SagaEnded) -> Row:
    return Row(
        EVENT_NUMBERS[ev.SagaEnded],
        due_ms=event.forget_ms,
        payload=event.result,
        details=Ended(event.phase, event.consistency),
    )


def _unpack_ended(row: Row) -> ev.SagaEnded:
    details = row.details
    if not isinstance(details, Ended):
        raise refuse("malformed_record", "a last event has no details")
    try:
        phase, consistency = Phase(details.phase), Consistency(details.consistency)
    except ValueError as error:
        raise refuse("out_of_range", str(error)) from error
    event = ev.SagaEnded(phase, consistency, row.due_ms, row.payload)
    return _only(row, event, _pack_ended(event))


def _only(row: Row, event: E, packed: Row) -> E:
    if packed != row:
        raise refuse("malformed_record", "an event has a column that it does not use")
    return event


def _parts(kind: type[Any], columns: tuple[str, ...]) -> Parts:
    nones = Row(EVENT_NUMBERS[kind])
    rest = {place: nones[place] for column, place in _PLACES.items() if column not in columns}
    return Parts(tuple(_PLACES[column] for column in columns), rest)


def _unpacker(kind: type[Any], columns: tuple[str, ...]) -> Callable[[Row], Event]:
    pick = _picker([_PLACES[column] for column in columns])
    unused = [place for column, place in _PLACES.items() if column not in columns]
    rest = _picker(unused)
    nones = rest(Row(EVENT_NUMBERS[kind]))
    flag = columns.index("flag") if kind in _TRUTHS else None

    def unpack(row: Row) -> Any:
        if rest(row) != nones:
            raise refuse("malformed_record", f"{kind.__name__} has a column that it does not use")
        values = pick(row)
        if flag is not None:
            values = (*values[:flag], _truth(values[flag]), *values[flag + 1 :])
        return tuple.__new__(kind, values)

    return unpack


def _truth(number: int) -> bool:
    if number not in {0, 1}:
        raise refuse("out_of_range", f"a truth is {number}")
    return number == 1


def _picker(places: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """As itemgetter, but a tuple for one place or none as well."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[place] for place in places)


PARTS = {kind: _parts(kind, columns) for kind, columns in COLUMNS.items()}
"""For each event of `COLUMNS`, how it lies in a `Row`."""

_UNPACK: dict[int, Callable[[Row], Event]] = {
    **{EVENT_NUMBERS[kind]: _unpacker(kind, columns) for kind, columns in COLUMNS.items()},
    EVENT_NUMBERS[ev.SagaStarted]: _unpack_started,
    EVENT_NUMBERS[ev.SagaEnded]: _unpack_ended,
}


def pack(event: Event) -> Row:
    """Lay an event out in the columns of `Row`."""
    if isinstance(event, ev.SagaStarted):
        return _pack_started(event)
    if isinstance(event, ev.SagaEnded):
        return _pack_ended(event)
    columns = zip(COLUMNS[type(event)], event, strict=True)
    return Row(EVENT_NUMBERS[type(event)], **dict(columns))  # type: ignore[arg-type]


def unpack(row: Row) -> Event:
    """Read an event from its columns.

    Raises:
        DecodeError: `unknown_event`, `out_of_range`, or `malformed_record` if a column is used that
            the event does not have.
    """
    reader = _UNPACK.get(row.type)
    if reader is None:
        raise refuse("unknown_event", f"there is no event {row.type}")
    return reader(row)


def pack_transition(transition: Transition) -> Transition:
    """Give the record's fields. Raises ValueError if a first event names another saga."""
    first = transition.events[0]
    if type(first) is ev.SagaStarted and first.saga_id != transition.saga:
        raise ValueError(f"a transition of {transition.saga} starts {first.saga_id}")
    return transition


def unpack_transition(values: Iterable[Any]) -> Transition:
    """Read a transition from its fields. Raises DecodeError: `malformed_record`."""
    transition = Transition._make(values)
    events = transition.events
    if any(type(event) is ev.SagaStarted for event in events[1:]):
        raise refuse("malformed_record", "a saga starts in the middle of a transition")
    if events and type(events[0]) is ev.SagaStarted:
        first = events[0]._replace(saga_id=transition.saga)
        return transition._replace(events=(first, *events[1:]))
    return transition
