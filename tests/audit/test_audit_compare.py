"""Replay of one shard: right logs pass, and each planted fault is found and named."""

from __future__ import annotations

import pytest

from orchestrator.audit.compare import Copy, Kind, ShardReplay, Snapshot
from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Cause, Cursor, Transition
from orchestrator.core.events import (
    SagaEnded,
    SagaForgotten,
    SagaStarted,
    StepRequested,
    StepSucceeded,
)
from orchestrator.core.log import fold
from orchestrator.errors import MalformedPayload

COMMANDS, REPLIES, EVENTS = "saga.commands", "saga.replies.flights", "saga.events"
KNOWN = {}


def encode(state):
    value = repr(state).encode()
    KNOWN[value] = state
    return value


def decode(value):
    if value not in KNOWN:
        raise MalformedPayload("malformed_payload", "not a snapshot")
    return KNOWN[value]


def started(saga, at_ms=1_000):
    return SagaStarted(saga, "book_trip", 1, 7, 1, 0, at_ms, at_ms + 9_000, b"8bytes..", b"trip")


class Log:
    """A shard's log with its copies, written as a worker would."""

    def __init__(self):
        self.entries = []
        self.states = {}
        self.snapshots = {}
        self.inputs = {COMMANDS: 0, REPLIES: 0}
        self.sequences = {}

    def write(self, saga, *events, topic=COMMANDS, at_ms=1_000):
        offset = -1
        if topic != EVENTS:
            offset = self.inputs[topic]
            self.inputs[topic] += 1
        sequence = self.sequences.get(saga, 0) + 1
        kind = {COMMANDS: "start", REPLIES: "reply", EVENTS: "timer"}[topic]
        transition = Transition(
            saga, sequence, at_ms, Cause(kind, Origin(topic, 0, offset), ""), 0, events
        )
        self.entries.append((Origin(EVENTS, 0, len(self.entries) * 2), transition))
        state = self.states[saga] = fold(events, self.states.get(saga))
        self.sequences[saga] = sequence + len(events) - 1 if state else 0
        if state is None:
            self.snapshots.pop(saga, None)
        else:
            self.snapshots[saga] = Snapshot(encode(state), len(self.entries) * 3)

    def copy(self, name="changelog"):
        cursor = Cursor(9, tuple(sorted(self.inputs.items())), 1_000, "saga-000", 3, 1, 2)
        return Copy(name, dict(self.snapshots), cursor)

    def trip(self, saga):
        self.write(saga, started(saga), StepRequested(0, 1, 5_000, b"seat?", "reserve_seat"))
        self.write(saga, StepSucceeded(0, 1, True, b"12A"), topic=REPLIES)

    def end(self, saga):
        self.write(saga, SagaEnded(3, 1, 99_000, b"itinerary"), topic=REPLIES)


@pytest.fixture
def log():
    log = Log()
    for saga in ("ann", "bob", "cid"):
        log.trip(saga)
    log.end("bob")
    return log


def replayed(entries, *copies, truncated=False, settled=()):
    replay = ShardReplay(0, copies, encode=encode, decode=decode, truncated=truncated)
    for origin, transition in entries:
        replay.add(origin, transition)
    return replay.finish(settled)


def kinds(report):
    return [(difference.kind, difference.saga) for difference in report.differences]


@pytest.mark.parametrize("settled", [(), ("changelog", "store")])
def test_log_and_copies_that_agree(log, settled):
    report = replayed(log.entries, log.copy(), log.copy("store"), settled=settled)

    assert report.differences == ()
    assert report.compared == {"changelog": 3, "store": 3}
    assert (report.transitions_count, report.events_count) == (7, 10)
    assert (report.sagas_count, report.open_count, report.forgotten_count) == (3, 2, 0)


def test_work_done_after_the_copy_was_read_is_no_difference(log):
    copy = log.copy()
    log.end("ann")
    log.trip("dan")
    log.write("cid", SagaEnded(3, 1, 99_000, b""), topic=EVENTS)  # a timer, right at the cut
    report = replayed(log.entries, copy)

    assert report.differences == ()
    assert report.compared == {"changelog": 3}


def test_a_changed_byte(log):
    copy = log.copy()
    state = decode(copy.snapshots["ann"].value)
    copy.snapshots["ann"] = Snapshot(encode(state._replace(payload=b"trap")), 77)
    report = replayed(log.entries, copy)

    assert kinds(report) == [(Kind.BYTES, "ann")]
    (difference,) = report.differences
    assert (difference.offset, difference.sequence) == (77, 3)
    assert difference.expected.payload == b"trip"
    assert difference.found.payload == b"trap"
    assert report.compared == {"changelog": 2}


@pytest.mark.parametrize("which", [0, 1])
def test_a_dropped_transition(log, which):
    del log.entries[which]  # ann's first or second
    report = replayed(log.entries, log.copy())

    expected = {0: (Kind.BROKEN_LOG, "ann"), 1: (Kind.AHEAD, "ann")}[which]
    assert kinds(report) == [expected]


def test_a_dropped_event(log):
    origin, transition = log.entries[0]
    log.entries[0] = (origin, transition._replace(events=transition.events[:1]))
    report = replayed(log.entries, log.copy())

    assert kinds(report) == [(Kind.BROKEN_LOG, "ann")]
    assert "expected event 2, found 3" in report.differences[0].text


def test_a_repeated_event(log):
    log.entries.insert(2, log.entries[1])
    report = replayed(log.entries, log.copy())

    assert kinds(report) == [(Kind.BROKEN_LOG, "ann")]
    assert report.compared == {"changelog": 2}


def test_an_event_that_cannot_follow(log):
    origin, transition = log.entries[1]
    swapped = transition._replace(events=(StepSucceeded(5, 1, True, b""),))
    log.entries[1] = (origin, swapped)

    assert kinds(replayed(log.entries, log.copy())) == [(Kind.BROKEN_LOG, "ann")]


def test_a_missing_snapshot(log):
    copy = log.copy()
    del copy.snapshots["bob"]

    assert kinds(replayed(log.entries, copy)) == [(Kind.MISSING, "bob")]


def test_a_stale_snapshot(log):
    early = dict(log.snapshots)
    log.end("ann")
    copy = log.copy()
    copy.snapshots["ann"] = early["ann"]

    assert kinds(replayed(log.entries, copy)) == [(Kind.STALE, "ann")]


def test_a_late_timer_is_only_missed_when_nothing_was_committed_meanwhile(log):
    copy = log.copy()
    log.write("cid", SagaEnded(3, 1, 99_000, b""), topic=EVENTS)

    assert replayed(log.entries, copy).differences == ()
    assert kinds(replayed(log.entries, copy, settled=("changelog",))) == [(Kind.STALE, "cid")]


def test_a_snapshot_without_a_saga_in_the_log(log):
    copy = log.copy()
    log.entries = [entry for entry in log.entries if entry[1].saga != "cid"]

    assert kinds(replayed(log.entries, copy)) == [(Kind.AHEAD, "cid")]


def test_a_snapshot_that_cannot_be_read(log):
    copy = log.copy()
    copy.snapshots["ann"] = Snapshot(b"\xff\xff", 4)
    report = replayed(log.entries, copy)

    assert kinds(report) == [(Kind.UNREADABLE, "ann")]


def test_forgotten_and_started_anew_under_the_same_id(log):
    first_life = dict(log.snapshots)["bob"]
    log.write("bob", SagaForgotten(), topic=EVENTS)
    forgotten = log.copy()
    log.write("bob", started("bob", at_ms=5_000))
    report = replayed(log.entries, log.copy())
    assert report.differences == ()
    assert report.compared == {"changelog": 3}

    assert replayed(log.entries, forgotten).differences == ()

    stale = log.copy()
    stale.snapshots["bob"] = first_life
    assert kinds(replayed(log.entries, stale)) == [(Kind.STALE, "bob")]


def test_forgotten_sagas_are_in_no_copy(log):
    log.write("bob", SagaForgotten(), topic=EVENTS)
    report = replayed(log.entries, log.copy())

    assert report.differences == ()
    assert report.forgotten_count == 1


def test_a_log_whose_beginning_has_expired_says_what_it_cannot_prove(log):
    report = replayed(log.entries[1:], log.copy(), truncated=True)
    assert report.differences == ()
    assert report.headless_count == 1
    assert report.compared == {"changelog": 2}

    gone = [entry for entry in log.entries if entry[1].saga != "ann"]
    report = replayed(gone, log.copy(), truncated=True)
    assert report.differences == ()
    assert report.compared == {"changelog": 2}


def test_differences_are_counted_beyond_those_kept():
    log = Log()
    for number in range(150):
        log.trip(f"saga-{number}")
    copy = log.copy()
    copy.snapshots.clear()
    report = replayed(log.entries, copy)

    assert report.differences_count == 150
    assert len(report.differences) == 100
