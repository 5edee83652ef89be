"""Each invariant's checker holds on a true history, and bites on a planted bug."""

from collections import deque
from dataclasses import replace

import pytest

from orchestrator.codec.envelope import Origin
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Cause, Cursor, DeadLetter, Outcome, StepCommand, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import ReplyOutcome, ReplyReceived, StartSaga
from orchestrator.core.decide import decide
from orchestrator.core.effects import SendCommand
from orchestrator.core.events import (
    CompensationRequested,
    CompensationSucceeded,
    SagaEnded,
    StepRequested,
)
from orchestrator.core.react import effects
from orchestrator.testing import checkers
from orchestrator.testing.checkers import History, LedgerEntry
from sagas.book_trip import contracts
from sagas.book_trip.contracts import Trip
from sagas.book_trip.saga import book_trip

PAYLOADS = AvroPayloads()
CODEC = RecordCodec()
DEFINITION = book_trip.bind(PAYLOADS)
RESULTS = {
    "reserve_seat": contracts.SeatReserved("1A"),
    "reserve_room": contracts.RoomReserved(1),
    "charge_card": contracts.Charged("R1"),
    "issue_ticket": contracts.TicketIssued("T1"),
}
FAILURE = contracts.FlightCancelled("LH1")


class Run:
    """A tiny honest orchestrator: everything it does is on record."""

    def __init__(self):
        self.transitions, self.commands, self.outcomes = [], [], []
        self.snapshots, self.ledger, self.inputs = {}, {}, []
        self.letters = []
        self.next = {"saga.commands": 0, "saga.replies": 0}

    def origin(self, topic):
        origin = Origin(topic, 0, self.next[topic])
        self.next[topic] += 1
        self.inputs.append(origin)
        return origin

    def saga(self, saga_id, fails_at=None):
        trip = Trip("Ada", "LH1", "D-AB", "Rome", "2013-01-01", 1)
        start = StartSaga(saga_id, "book_trip", 0, PAYLOADS.encode(trip, Trip))
        todo = deque([(start, self.origin("saga.commands"))])
        state = None
        while todo:
            command, origin = todo.popleft()
            decision = decide(DEFINITION, state, command, 1_000)
            first = 1 if state is None else state.sequence + 1
            state = decision.state
            sent = effects(DEFINITION, decision)
            self.transitions.append(
                Transition(
                    saga_id, first, 1_000, Cause("reply", origin, ""), len(sent), decision.events
                )
            )
            for effect in sent:
                if isinstance(effect, SendCommand):
                    todo.append((self.answer(effect, fails_at), self.origin("saga.replies")))
                else:
                    self.outcomes.append(
                        Outcome(saga_id, "book_trip", 1, "", "", effect.sequence, 0, 0, b"")
                    )
        self.snapshots[saga_id] = CODEC.encode_snapshot(state)

    def answer(self, effect, fails_at):
        self.commands.append(
            StepCommand(
                effect.effect_id, effect.saga_id, effect.step_id, effect.direction, effect.attempt,
                effect.due_ms, effect.command_type, "saga.replies", 0, effect.payload,
            )
        )  # fmt: skip
        operation = f"{effect.saga_id}/{effect.step_id}/{effect.direction}"
        fails = effect.direction == "do" and effect.step_id == fails_at
        self.ledger[operation] = LedgerEntry(operation, not fails, 0 if fails else 1)
        outcome = ReplyOutcome.FAILED if fails else ReplyOutcome.SUCCEEDED
        value = FAILURE if fails else RESULTS[effect.step_id]
        if effect.direction == "undo":
            value = contracts.Done()
        return ReplyReceived(
            effect.saga_id, effect.step_id, effect.direction, effect.attempt, outcome,
            PAYLOADS.encode(value, type(value)), "", effect.participant,
        )  # fmt: skip

    def history(self):
        letters = tuple((Origin("saga.dead-letters", 0, n), x) for n, x in enumerate(self.letters))
        return History(
            definitions={("book_trip", 1): DEFINITION},
            transitions=tuple(
                (Origin("saga.events", 0, n), x) for n, x in enumerate(self.transitions)
            ),
            snapshots=dict(self.snapshots),
            encode=CODEC.encode_snapshot,
            step_commands=tuple((Origin("c", 0, n), x) for n, x in enumerate(self.commands)),
            outcomes=tuple(
                (Origin("saga.outcomes", 0, n), x) for n, x in enumerate(self.outcomes)
            ),
            dead_letters=letters,
            cursors={0: Cursor(1, tuple(sorted(self.next.items())), 0, "w", 1, 1, 1)},
            inputs=frozenset(self.inputs),
            acknowledged=frozenset(self.snapshots),
            ledgers=tuple(self.ledger.values()),
            stores=dict(self.snapshots),
        )


@pytest.fixture
def run():
    made = Run()
    made.saga("good")
    made.saga("bad", fails_at="issue_ticket")
    bad_origin = made.origin("saga.commands")
    made.letters.append(DeadLetter("bad_id", "", bad_origin, b"x", b"y", (), 0, 0, "w"))
    return made


def invariants(history):
    return {violation.invariant for violation in checkers.check_all(history)}


def test_a_true_history_passes(run):
    assert checkers.check_all(run.history()) == []
    assert checkers.bad_input_accounted(run.history(), {run.letters[0].origin: "bad_id"}) == []


def edit(run, saga, change):
    """Rewrite the events of one saga."""
    for at, transition in enumerate(run.transitions):
        if transition.saga == saga:
            events = tuple(kept for event in transition.events for kept in change(event))
            run.transitions[at] = transition._replace(events=events)


def swapped(history):
    """Exchange the first two compensations."""
    steps = {2: 1, 1: 2}

    def change(event):
        if isinstance(event, CompensationRequested | CompensationSucceeded):
            return (event._replace(step=steps.get(event.step, event.step)),)
        return (event,)

    edit(history, "bad", change)


def drop(kind, saga):
    return lambda run: edit(run, saga, lambda e: () if isinstance(e, kind) else (e,))


def forward_again(run):
    again = StepRequested(0, 9, 1, b"", "reserve_seat")
    edit(run, "bad", lambda e: (e, again) if isinstance(e, CompensationRequested) else (e,))


def event_after_end(run):
    late = CompensationSucceeded(0, 1)
    edit(run, "good", lambda e: (e, late) if isinstance(e, SagaEnded) else (e,))


def applied_twice(run):
    entry = run.ledger["good/reserve_seat/do"]
    run.ledger["good/reserve_seat/do"] = entry._replace(applied_count=2)


def never_applied(run):
    entry = run.ledger["good/reserve_seat/do"]
    run.ledger["good/reserve_seat/do"] = entry._replace(applied_count=0)


def undo_lost(run):
    del run.ledger["bad/charge_card/undo"]


def snapshot_changed(run):
    run.snapshots["good"] = run.snapshots["bad"]


def lost(run):
    run.snapshots["lost"] = b""


def repeated(run):
    run.transitions.append(run.transitions[0])


def gap(run):
    run.transitions[1] = run.transitions[1]._replace(sequence=99)


def input_skipped(run):
    run.origin("saga.commands")


def sent_twice(run):
    run.commands.append(run.commands[0])


def sent_unasked(run):
    run.commands.append(run.commands[0]._replace(effect="good/other/do/1"))


def not_sent(run):
    run.commands.pop(0)


def no_outcome(run):
    run.outcomes.clear()


def unfinished(run):
    run.transitions.pop(next(n for n, t in enumerate(run.transitions) if t.saga == "bad") + 1)
    at = next(n for n, t in enumerate(run.transitions) if t.saga == "bad")
    run.transitions = [t for n, t in enumerate(run.transitions) if t.saga != "bad" or n == at]


@pytest.mark.parametrize(
    ("bug", "invariant"),
    [
        (applied_twice, "I2"),
        (never_applied, "I2"),
        (undo_lost, "I2"),
        (lost, "I3"),
        (repeated, "I3"),
        (swapped, "I4"),
        (forward_again, "I4"),
        (drop(CompensationSucceeded, "bad"), "I4"),
        (snapshot_changed, "I5"),
        (event_after_end, "I6"),
        (gap, "I7"),
        (repeated, "I7"),
        (input_skipped, "I8"),
        (sent_twice, "I8"),
        (sent_unasked, "I8"),
        (not_sent, "I8"),
        (no_outcome, "I8"),
        (unfinished, "I10"),
    ],
)
def test_each_planted_bug_is_caught(run, bug, invariant):
    bug(run)

    assert invariant in invariants(run.history())


def test_a_store_that_differs_is_caught(run):
    history = run.history()
    stale = {**history.snapshots, "good": b"stale"}

    assert invariants(replace(history, stores=stale)) == {"I5"}


def test_an_outcome_above_the_cursor_is_caught(run):
    history = run.history()
    behind = {0: history.cursors[0]._replace(inputs=(("saga.commands", 1), ("saga.replies", 0)))}

    assert invariants(replace(history, cursors=behind)) == {"I8"}


def test_money_that_is_lost_or_owed_is_caught():
    assert checkers.conserved(100, [60, 40]) == []
    assert [v.invariant for v in checkers.conserved(100, [60, 39])] == ["I1"]
    assert [v.invariant for v in checkers.conserved(100, [101, -1])] == ["I1"]


def test_a_bad_record_without_its_reason_is_caught(run):
    wanted = {run.letters[0].origin: "trailing_bytes"}

    assert [v.invariant for v in checkers.bad_input_accounted(run.history(), wanted)] == ["I12"]
