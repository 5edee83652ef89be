"""One saga's present life: how it ended, why it turned back, where it is stuck."""

from __future__ import annotations

import pytest

from orchestrator.audit.life import Life, Results, ends, starts
from orchestrator.audit.timeline import stuck_at, timeline, turned_back
from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.records import Cause, DeadLetter, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core import events as e
from orchestrator.core.state import Consistency, Phase

CODEC = RecordCodec()
START = Origin("saga.commands", 0, 7)
BY_ANN = Cause("operator", Origin("saga.commands", 0, 8), "ann")
STARTED = e.SagaStarted("a", "rent", 1, 5, 2, 0, 1_000, 9_000, b"12345678", b"{}")
REQUESTED = e.StepRequested(0, 1, 2_000, b"c", "check")
FAILED = e.StepFailed(0, 1, b"f", "Invalid")
TURNED = e.CompensationStarted("step_failed", 0, "", "")
ENDED = e.SagaEnded(Phase.ROLLED_BACK, Consistency.CONSISTENT, 99_000, b"")


def entry(offset, sequence, *events, cause=None, saga="a"):
    cause = cause or Cause("reply", Origin("saga.replies.x", 0, offset), "x")
    origin = Origin("saga.events", 0, offset)
    return origin, Transition(saga, sequence, 1_000 + offset, cause, 0, tuple(events))


def started(offset=0, cause=START):
    return entry(offset, 1, STARTED, REQUESTED, cause=Cause("start", cause, ""))


def moments(*events, cause=None):
    return tuple(timeline([started(), entry(1, 3, *events, cause=cause)]))


def test_a_life_ends_with_the_outcome_that_is_published():
    life = Life()
    life.add(*started())
    assert life.outcome is None
    life.add(*entry(4, 3, FAILED, TURNED, ENDED))

    outcome = life.outcome
    assert (outcome.business, outcome.consistency, outcome.sequence) == (
        "rolled_back",
        "consistent",
        5,
    )
    assert (outcome.started_ms, outcome.ended_ms) == (1_000, 1_004)
    assert starts(life.entries[0][1])
    assert ends(life.entries[-1][1])


def test_an_earlier_life_is_dropped():
    life = Life()
    life.add(*started())
    life.add(*entry(1, 3, FAILED, TURNED, ENDED))
    life.add(*entry(2, 6, e.SagaForgotten()))
    life.add(*started(offset=3))

    assert life.outcome is None
    assert life.state.sequence == 2
    assert len(life.entries) == 1


def test_a_life_whose_beginning_has_expired_is_not_folded():
    life = Life()
    life.add(*entry(4, 3, FAILED, TURNED, ENDED))

    assert (life.state, life.outcome) == (None, None)


def test_a_declared_failure_turns_back():
    why = turned_back(moments(FAILED, TURNED))

    assert (why.cause, why.step, why.failure, why.text) == (
        "step_failed",
        "check",
        b"f",
        "Invalid",
    )


@pytest.mark.parametrize(
    ("events", "cause", "expected"),
    [
        (
            (
                e.StepUnknown(0, 2, True, "attempts_exhausted", "no van"),
                e.CompensationStarted("step_unknown", 0, "", ""),
            ),
            None,
            ("step_unknown", "check", "attempts_exhausted", "no van", ""),
        ),
        (
            (e.CompensationStarted("deadline", -1, "", ""),),
            None,
            ("deadline", "", "", "", ""),
        ),
        (
            (e.CompensationStarted("cancelled", -1, "ann", "rain"),),
            BY_ANN,
            ("cancelled", "", "rain", "", "ann"),
        ),
    ],
)
def test_other_reasons_to_turn_back(events, cause, expected):
    why = turned_back(moments(*events, cause=cause))

    assert (why.cause, why.step, why.reason, why.text, why.actor) == expected


def test_a_saga_that_did_not_turn_back():
    assert turned_back(moments()) is None


def test_where_a_saga_is_stuck_now():
    stuck = e.StepStuck(0, 1, "declared_failure", "no keys")
    assert [one.event for one in stuck_at(moments(stuck))] == ["StepStuck"]
    assert stuck_at(moments(stuck, e.RetryOrdered("ann", ""))) == ()
    assert stuck_at(moments(stuck, e.StepSucceeded(0, 1, False, b""))) == ()
    faulted = e.NodeFaulted(3, "KeyError")
    assert [one.event for one in stuck_at(moments(stuck, faulted))] == ["StepStuck", "NodeFaulted"]
    resolved = e.StepResolved(0, False, "ann", "by hand", b"")
    assert stuck_at(moments(stuck, faulted, resolved)) == ()


# --- many at once -------------------------------------------------------------------------------


def envelope(origin, value, saga):
    return Envelope(origin, saga.encode(), value, (), 0)


def feed(results, found):
    origin, transition = found
    value = CODEC.encode_transition(transition)
    results.add(envelope(origin, value, transition.saga), dead=False)


def test_what_became_of_many_starts():
    names = ("ends", "conflict", "again", "refused")
    places = {name: Origin("saga.commands", 0, n) for n, name in enumerate(names)}
    results = Results({place: name for name, place in places.items()}, CODEC)

    def answered(offset, name, *events):
        feed(
            results,
            entry(offset, 1, *events, cause=Cause("start", places[name], ""), saga=name),
        )

    answered(0, "ends", STARTED._replace(saga_id="ends"), REQUESTED)
    answered(1, "conflict", e.CommandRefused("start", "conflict", "", "other content"))
    answered(2, "again", e.CommandRefused("start", "duplicate", "", "same content"))
    letter = DeadLetter(
        "malformed_payload", "no int", places["refused"], None, None, (), -1, 1, "w"
    )
    results.add(
        envelope(Origin("saga.dead-letters", 0, 0), CODEC.encode_dead_letter(letter), "refused"),
        dead=True,
    )
    assert not results.complete
    feed(results, entry(3, 3, FAILED, TURNED, ENDED, saga="ends"))

    assert results.complete
    assert results.repeated == ["again"]
    assert results.found[places["ends"]].business == "rolled_back"
    assert results.found[places["conflict"]].reason == "conflict"
    assert results.found[places["refused"]].reason == "malformed_payload"
