"""The due index: one reminder a saga, which may be early but never late."""

from __future__ import annotations

from contract.due_index import late_timers
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import SNAPSHOT_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import (
    TERMINAL,
    Phase,
    SagaState,
    StepState,
    StepStatus,
    Timer,
    timers,
)
from orchestrator.runtime.restore import Armed, entries_of, replayed
from orchestrator.runtime.shard import Change, Shard
from orchestrator.store.memory import MemoryStore

CODEC = RecordCodec()
CURSOR = Cursor(1, (), 1, "saga-000", 1, 1, 1)
ENCODED = CODEC.encode_cursor(CURSOR)
NO_LIMIT = 1_000


def saga(saga_id, due_ms, steps_due_ms, phase=Phase.RUNNING):
    steps = tuple(
        StepState(StepStatus.REQUESTED, 1, 0, False, at_ms, b"c", b"") for at_ms in steps_due_ms
    )
    return SagaState(
        saga_id, "trip", 1, 7, phase, 3, b"", b"d" * 8, 1, due_ms, "", False, (), (), steps
    )


def new_shard(sagas=(), cache_count_max=2):
    """A shard whose sagas were decided on in one transaction, at 0 ms."""
    shard = Shard(0, MemoryStore(), CODEC.decode_snapshot, cache_count_max)
    change(shard, *sagas)
    settle(shard, 0)
    return shard


def change(shard, *sagas):
    """Let the open transaction leave these states; a text is the id of a saga to forget."""
    for found in sagas:
        saga_id, state = (found, None) if isinstance(found, str) else (found.saga_id, found)
        _, before = shard.look_up(saga_id)
        snapshot = None if state is None else CODEC.encode_snapshot(state)
        shard.overlay[saga_id] = Change(state, before, snapshot, 0)


def settle(shard, now_ms):
    shard.seal()
    shard.settle(CURSOR, ENCODED, shard.store.position() + 1, now_ms)


def index(shard):
    return shard.store.due(1 << 60, NO_LIMIT)


def watched(shard):
    """What each write does to the index."""
    written, apply = [], shard.store.apply

    def note(batch):
        written.append((batch.timers_added, batch.timers_removed))
        apply(batch)

    shard.store.apply = note
    return written


def test_an_answer_that_disarms_a_timer_leaves_the_index_alone():
    shard = new_shard([saga("s-1", 900, [30, 0, 0])])
    assert index(shard) == (Timer(30, "s-1", 0),)
    written = watched(shard)
    change(shard, saga("s-1", 900, [0, 40, 0]))
    settle(shard, 10)
    change(shard, saga("s-1", 900, [0, 0, 50]))
    settle(shard, 20)
    assert written == [((), ()), ((), ())]


def test_an_earlier_timer_takes_the_place_of_the_reminder():
    shard = new_shard([saga("s-1", 900, [30, 0])])
    change(shard, saga("s-1", 900, [30, 20]))
    settle(shard, 10)
    assert index(shard) == (Timer(20, "s-1", 1),)


def test_an_early_reminder_moves_on_when_it_comes_due():
    shard = new_shard([saga("s-1", 900, [30, 0])])
    change(shard, saga("s-1", 900, [0, 40]))
    settle(shard, 10)
    assert shard.due(30, 10) == ()
    assert index(shard) == (Timer(40, "s-1", 1),)
    assert shard.due(40, 10) == (Timer(40, "s-1", 1),)


def test_a_saga_that_ends_leaves_no_early_reminder():
    shard = new_shard([saga("s-1", 900, [30])])
    change(shard, saga("s-1", 5_000, [0], Phase.COMPLETED))
    settle(shard, 10)
    assert index(shard) == (Timer(5_000, "s-1", -1),)


def test_a_saga_that_was_out_of_memory_leaves_no_second_reminder():
    shard = new_shard([saga(f"s-{n}", 900, [30 + n, 0]) for n in range(3)])
    change(shard, saga("s-0", 900, [0, 40]))
    settle(shard, 10)
    assert [one.saga_id for one in index(shard)] == ["s-0", "s-1", "s-2"]


def test_a_saga_without_timers_is_not_asked_for_again():
    shard = new_shard([saga("s-1", 0, [30])])
    change(shard, saga("s-1", 0, [0]))
    settle(shard, 10)
    assert shard.due(30, 10) == ()
    assert index(shard) == ()
    change(shard, saga("s-1", 0, [40]))
    settle(shard, 29)  # its clock ran back
    assert shard.due(40, 10) == (Timer(40, "s-1", 0),)


def test_all_that_is_due_of_a_saga_fires_at_once():
    shard = new_shard([saga("s-1", 900, [30, 31, 40])])
    assert shard.due(35, 10) == (Timer(30, "s-1", 0), Timer(31, "s-1", 1))
    assert shard.due(35, 1) == (Timer(30, "s-1", 0),)


def test_a_timer_that_rests_does_not_keep_its_sagas_others():
    shard = new_shard([saga("s-1", 900, [30, 40])])
    assert [shard.next_due_ms(now_ms) for now_ms in (29, 30)] == [30, 30]
    shard.postpone(Timer(30, "s-1", 0), 100)
    assert shard.due(30, 10) == ()
    assert shard.next_due_ms(30) is None  # else the loop would ask again at once, for ever
    assert shard.due(40, 10) == (Timer(40, "s-1", 1),)
    change(shard, saga("s-1", 900, [30, 0]))
    settle(shard, 40)
    assert shard.due(99, 10) == ()
    assert shard.due(100, 10) == (Timer(30, "s-1", 0),)


NAMES = st.sampled_from(["s-1", "s-2", "s-3"])
DELAYS_MS = st.none() | st.integers(1, 8)
PHASES = st.sampled_from([Phase.RUNNING, Phase.COMPENSATING, Phase.COMPLETED])
THEN = st.sampled_from(["go on", "seal", "commit"])


def answered(state, step, due_ms):
    """One timer is disarmed, and the next one armed or not."""
    steps_ms = [each.due_ms for each in state.steps]
    steps_ms[step], steps_ms[(step + 1) % 3] = 0, due_ms
    return saga(state.saga_id, state.due_ms, steps_ms, state.phase)


class Reminders(RuleBasedStateMachine):
    """A shard under transactions, lost copies and the passing of time, beside the plain truth."""

    def __init__(self):
        super().__init__()
        self.now_ms = 100
        self.shard = new_shard()
        self.sealed = False

    def after_ms(self, delay_ms):
        return 0 if delay_ms is None else self.now_ms + delay_ms

    def then(self, what):
        if what != "go on":
            self.commit()
            self.shard.seal()
            self.sealed = True
        if what == "commit":
            self.commit()

    @rule(behind_ms=st.integers(0, 8))
    def commit(self, behind_ms=0):
        """A transaction was begun before it is committed, and a clock may run back."""
        if self.sealed:
            position, now_ms = self.shard.store.position() + 1, self.now_ms - behind_ms
            self.shard.settle(CURSOR, ENCODED, position, now_ms)
            self.sealed = False

    @rule(name=NAMES, delays_ms=st.tuples(*[DELAYS_MS] * 4), phase=PHASES, then=THEN)
    def decide(self, name, delays_ms, phase, then):
        due_ms, *steps_ms = map(self.after_ms, delays_ms)
        before, _ = self.shard.look_up(name)
        if before is None or before.phase not in TERMINAL:
            change(
                self.shard,
                saga(name, due_ms, steps_ms if phase not in TERMINAL else [0] * 3, phase),
            )
        self.then(then)

    @rule(name=NAMES, step=st.integers(0, 2), delay_ms=DELAYS_MS, then=THEN)
    def answer(self, name, step, delay_ms, then):
        before, _ = self.shard.look_up(name)
        if before is not None and before.phase not in TERMINAL:
            change(self.shard, answered(before, step, self.after_ms(delay_ms)))
        self.then(then)

    @rule(name=NAMES, then=THEN)
    def forget(self, name, then):
        if self.shard.look_up(name)[0] is not None:
            change(self.shard, name)
        self.then(then)

    @rule()
    def abort(self):
        self.shard.forget_overlay()
        self.sealed = False

    @rule(delay_ms=st.integers(1, 8))
    def wait(self, delay_ms):
        self.now_ms += delay_ms

    @rule(limit=st.integers(1, 3), then=THEN)
    def fire(self, limit, then):
        for timer in self.shard.due(self.now_ms, limit):
            state, _ = self.shard.look_up(timer.saga_id)
            assert timer in timers(state)
            due_ms = 0 if timer.step < 0 else state.due_ms
            steps_ms = [0 if n == timer.step else s.due_ms for n, s in enumerate(state.steps)]
            change(self.shard, saga(timer.saga_id, due_ms, steps_ms, state.phase))
        self.then(then)

    @rule(answers=st.lists(st.tuples(NAMES, st.integers(0, 2), DELAYS_MS), min_size=1, max_size=4))
    def replay(self, answers):
        """As when another owner has written what we read then."""
        self.shard.reset()
        self.sealed = False
        found, envelopes = {}, []
        for offset, (name, step, delay_ms) in enumerate(answers, self.shard.store.position()):
            before = found.get(name) or self.shard.look_up(name)[0] or saga(name, 0, [0, 0, 0])
            found[name] = state = answered(before, step, self.after_ms(delay_ms))
            key, value = SNAPSHOT_KEY + name.encode(), CODEC.encode_snapshot(state)
            envelopes.append(Envelope(Origin("c", 0, offset), key, value, (), 0))
        store, entries = self.shard.store, entries_of(envelopes)
        store.replay(replayed(store, entries, CODEC, self.now_ms, Armed(store)))

    @invariant()
    def no_timer_is_late(self):
        assert late_timers(self.shard.store) == []

    @precondition(lambda self: self.shard.is_settled)
    @rule()
    def what_is_committed_and_due_fires(self):
        states = (CODEC.decode_snapshot(snapshot) for _, snapshot in self.shard.store.items())
        armed = [timer for state in states for timer in timers(state)]
        due = tuple(sorted(timer for timer in armed if timer.due_ms <= self.now_ms))
        assert self.shard.due(self.now_ms, NO_LIMIT) == due


TestReminders = Reminders.TestCase
TestReminders.settings = settings(max_examples=600, stateful_step_count=40, deadline=None)
