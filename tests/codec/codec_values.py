"""Values of every record: fixed ones for the goldens, and strategies that give any."""

from __future__ import annotations

from typing import Any, get_type_hints

from hypothesis import strategies as st

from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import (
    Cause,
    Cursor,
    DeadLetter,
    Outcome,
    Reply,
    StepCommand,
    Transition,
)
from orchestrator.core import events as ev
from orchestrator.core.commands import CancelSaga, ResolveStep, RetrySaga, SkipStep, StartSaga
from orchestrator.core.state import IDLE, Phase, SagaState, StepState, StepStatus

AT = 1_790_000_000_000
EFFECT = "trip-1/reserve_seat/do/1"
PAYLOAD = b"\xc3\x01payload"
DIGEST = b"12345678"

EVENTS: tuple[ev.Event, ...] = (
    ev.SagaStarted("trip-1", "book_trip", 2, -(2**63), 3, 1, AT, AT + 5, DIGEST, PAYLOAD),
    ev.BranchChosen(0, 2, "wants_gift"),
    ev.StepRequested(0, 1, AT, PAYLOAD, "reserve_seat"),
    ev.StepSucceeded(0, 1, True, PAYLOAD),
    ev.StepFailed(1, 1, PAYLOAD, "sold out"),
    ev.AttemptFailed(1, 2, AT, "timeout", "no answer"),
    ev.StepUnknown(1, 3, True, "attempts_exhausted", "no answer"),
    ev.StepStuck(2, 5, "declared_failure", "closed"),
    ev.CompensationStarted("cancelled", -1, "ann", "no longer needed"),
    ev.CompensationRequested(0, 1, AT, PAYLOAD, "reserve_seat"),
    ev.CompensationSucceeded(0, 1),
    ev.CompensationStuck(0, 9, "declared_failure", "no such seat"),
    ev.NodeFaulted(4, "ZeroDivisionError"),
    ev.RetryOrdered("ann", "network is back"),
    ev.StepSkipped(0, "ann", "done by phone"),
    ev.StepResolved(0, False, "ann", "done by phone", PAYLOAD),
    ev.CommandRefused("cancel", "past_pivot", "ann", ""),
    ev.ReplyIgnored(-1, "do", 1, "unknown_step"),
    ev.TimerIgnored(2),
    ev.DeadlinePassed(),
    ev.SagaEnded(Phase.CANCELLED, 3, AT, b""),
    ev.SagaForgotten(),
)

SAMPLES: dict[str, Any] = {
    "StartSaga": StartSaga("trip-1", "book_trip", 0, PAYLOAD),
    "CancelSaga": CancelSaga("trip-1", "ann", "no longer needed: ✈"),
    "RetrySaga": RetrySaga("trip-1", "ann", ""),
    "SkipStep": SkipStep("trip-1", "gift.wrap[3]", "ann", "by phone"),
    "ResolveStep": ResolveStep("trip-1", "reserve_seat", "ann", "by phone", PAYLOAD),
    "StepCommand": StepCommand(
        EFFECT, "trip-1", "reserve_seat", "do", 1, AT, "ReserveSeat", "saga.replies.flights", 3, PAYLOAD
    ),
    "Reply": Reply(EFFECT, "trip-1", 2, "sold out", PAYLOAD),
    "Transition": Transition(
        "trip-1", 1, AT, Cause("start", Origin("saga.commands", 3, 2**40), ""), 1, EVENTS
    ),
    "Snapshot": SagaState(
        "trip-1", "book_trip", 2, 2**63 - 1, Phase.RUNNING, 70_000, PAYLOAD, DIGEST, AT, AT + 5,
        "step_failed", True, (0, 1, 2), (7, 300),
        (
            StepState(StepStatus.SUCCEEDED, 1, 0, False, 0, PAYLOAD, PAYLOAD),
            IDLE,
            StepState(StepStatus.UNDO_SKIPPED),
            StepState(StepStatus.REQUESTED, 3, 2, True, AT, PAYLOAD),
        ),
    ),
    "Cursor": Cursor(
        77, (("saga.commands", 4), ("saga.replies.flights", 2**33)), AT, "worker-01", 3, 4, 8
    ),
    "Outcome": Outcome("trip-1", "book_trip", 2, "completed", "consistent", 9, AT, AT + 9, PAYLOAD),
    "DeadLetter": DeadLetter(
        "bad_id", "the saga '' is none", Origin("saga.commands", 1, 2), None, b"\x00\xff",
        (("a", None), ("b", b"1")), -1, AT, "worker-01",
    ),
}  # fmt: skip
"""One value of each record, by the name of its schema."""

METHODS = {
    "StartSaga": "command",
    "CancelSaga": "command",
    "RetrySaga": "command",
    "SkipStep": "command",
    "ResolveStep": "command",
    "StepCommand": "step_command",
    "Reply": "reply",
    "Transition": "transition",
    "Snapshot": "snapshot",
    "Cursor": "cursor",
    "Outcome": "outcome",
    "DeadLetter": "dead_letter",
}


def encode(codec, name, value):
    return getattr(codec, f"encode_{METHODS[name]}")(value)


def decode(codec, name, data):
    return getattr(codec, f"decode_{METHODS[name]}")(data)


# --- any value ----------------------------------------------------------------------------------

IDS = st.text("abcXYZ019._-", min_size=1, max_size=128)
STEPS = st.text("abcXYZ019._-[]", min_size=1, max_size=256)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
BLOBS = st.binary(max_size=300)
INTS = st.integers(-(2**31), 2**31 - 1)
LONGS = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 2**63 - 1)
COUNTS = st.integers(0, 2**31 - 1)
_PLAIN = {str: TEXTS, bytes: BLOBS, bool: st.booleans()}
_FIELDS = {
    "saga": IDS, "saga_id": IDS, "definition": IDS, "actor": IDS, "step_id": STEPS,
    "reply_topic": IDS, "partition": COUNTS, "version": COUNTS, "fingerprint": LONGS,
    "offset": st.integers(-1, 2**63 - 1), "sequence": st.integers(1, 2**63 - 1),
    "partitions": st.integers(1, 2**31 - 1), "generation": INTS, "timestamp_ms": LONGS,
    "transaction": TIMES, "kind": st.sampled_from(["start", "reply", "timer", "operator"]),
    "business": st.sampled_from(["completed", "rolled_back", "cancelled"]),
    "consistency": st.sampled_from(["consistent", "unknown"]),
    "reason": st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
    "worker": TEXTS,
}  # fmt: skip


def _field(name, kind):
    if kind is int:
        return (
            TIMES if name.endswith("_ms") and name != "timestamp_ms" else _FIELDS.get(name, COUNTS)
        )
    return _FIELDS.get(name, _PLAIN.get(kind))


def values_of(kind, **given):
    hints = get_type_hints(kind)
    return st.builds(kind, **{name: given.get(name, _field(name, hints[name])) for name in hints})


def _event(kind):
    if kind is ev.SagaEnded:
        return values_of(
            kind, phase=st.sampled_from(Phase), consistency=st.sampled_from([1, 2, 3])
        )
    hints = get_type_hints(kind)
    return st.builds(
        kind, **{n: _PLAIN.get(t, INTS if n in _SMALL else LONGS) for n, t in hints.items()}
    )


_SMALL = {
    "step", "node", "decision", "choice", "attempt", "version", "steps_count", "decisions_count",
}  # fmt: skip
ORIGINS = values_of(Origin, topic=TEXTS)
CAUSES = values_of(Cause, origin=ORIGINS, actor=TEXTS)
LATER_EVENTS = st.one_of([_event(kind) for kind in ev.EVENT_NUMBERS if kind is not ev.SagaStarted])


@st.composite
def _transitions(draw):
    saga, later = draw(IDS), draw(st.lists(LATER_EVENTS, min_size=1, max_size=5))
    if draw(st.booleans()):
        later.insert(0, draw(_event(ev.SagaStarted))._replace(saga_id=saga))
    return draw(
        values_of(Transition, saga=st.just(saga), cause=CAUSES, events=st.just(tuple(later)))
    )


STEP_STATES = st.one_of(
    st.just(IDLE),
    st.sampled_from(StepStatus).map(StepState),
    values_of(StepState, status=st.sampled_from(StepStatus), due_ms=LONGS),
)


@st.composite
def _effects(draw):
    parts = (draw(IDS), draw(STEPS), draw(st.sampled_from(["do", "undo"])))
    attempt = draw(st.integers(1, 999_999_999))
    return "/".join((*parts, str(attempt))), *parts, attempt


@st.composite
def _step_commands(draw):
    effect, saga, step, direction, attempt = draw(_effects())
    return draw(
        values_of(
            StepCommand, effect=st.just(effect), saga=st.just(saga), step=st.just(step),
            direction=st.just(direction), attempt=st.just(attempt), reply_partition=COUNTS,
        )
    )  # fmt: skip


@st.composite
def _replies(draw):
    effect, saga, *_ = draw(_effects())
    return draw(
        values_of(Reply, effect=st.just(effect), saga=st.just(saga), outcome=st.integers(1, 3))
    )


ANY: dict[str, st.SearchStrategy[Any]] = {
    "StartSaga": values_of(StartSaga),
    "CancelSaga": values_of(CancelSaga, reason=TEXTS),
    "RetrySaga": values_of(RetrySaga, reason=TEXTS),
    "SkipStep": values_of(SkipStep, reason=TEXTS),
    "ResolveStep": values_of(ResolveStep, reason=TEXTS),
    "StepCommand": _step_commands(),
    "Reply": _replies(),
    "Transition": _transitions(),
    "Snapshot": values_of(
        SagaState,
        phase=st.sampled_from(Phase),
        due_ms=LONGS,
        started_ms=LONGS,
        decisions=st.lists(st.integers(0, 2), max_size=5).map(tuple),
        faults=st.lists(INTS, max_size=5).map(tuple),
        # Long ones as well, of which few differ.
        steps=st.builds(
            lambda steps, times: tuple(times * steps),
            st.lists(STEP_STATES, max_size=10),
            st.sampled_from((1, 1, 3)),
        ),
    ),
    "Cursor": values_of(
        Cursor,
        inputs=st.dictionaries(TEXTS, TIMES, max_size=4).map(lambda d: tuple(sorted(d.items()))),
    ),
    "Outcome": values_of(Outcome),
    "DeadLetter": values_of(
        DeadLetter,
        origin=ORIGINS,
        key=st.none() | BLOBS,
        value=st.none() | BLOBS,
        headers=st.lists(st.tuples(TEXTS, st.none() | BLOBS), max_size=4).map(tuple),
    ),
}
"""Any value of each record that the core or a well-behaved client can make."""
