"""The decision table of a take-over, and the replay of a changelog."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import BARRIER_KEY, CURSOR_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import Phase, SagaState, StepState, StepStatus, Timer
from orchestrator.runtime import restore
from orchestrator.runtime.recovery import Begin, Ranges, judge
from orchestrator.runtime.restore import Armed, discard_reason, entries_of, replayed
from orchestrator.runtime.shard import Halt
from orchestrator.store.base import Batch
from orchestrator.store.memory import MemoryStore

CODEC = RecordCodec()
DAY_MS = 24 * 3_600_000


def cursor(partitions=4, **inputs):
    return Cursor(5, tuple(sorted(inputs.items())), 1, "saga-000", 3, partitions, 1)


def decide(found, committed, starts=None, ends=None, *, accept_trimmed=False):
    topics = committed.keys()
    ranges = Ranges(
        {t: (starts or {}).get(t, 0) for t in topics}, {t: (ends or {}).get(t, 99) for t in topics}
    )
    return judge(found, committed, ranges, partitions=4, accept_trimmed=accept_trimmed)


def test_the_first_start_begins_where_each_log_begins():
    assert decide(None, {"a": None, "b": None}, {"b": 7}) == Begin({"a": 0, "b": 7}, ())


def test_agreement_goes_on():
    assert decide(cursor(a=4, b=9), {"a": 4, "b": 9}) == Begin({"a": 4, "b": 9}, ())


@pytest.mark.parametrize(
    ("found", "committed"),
    [
        (cursor(a=4), {"a": 5}),  # behind the group: a transaction without its changelog
        (cursor(a=5), {"a": 4}),  # ahead of it: offsets were reset, or the changelog is another's
        (None, {"a": 4}),  # the changelog is gone
        (cursor(b=1), {"a": 4, "b": 1}),
    ],
)
def test_disagreement_halts_the_shard(found, committed):
    verdict = decide(found, committed)
    assert isinstance(verdict, Halt)
    assert verdict.reason == "torn"


def test_without_positions_in_the_group_the_changelog_is_believed():
    verdict = decide(cursor(a=4), {"a": None})
    assert verdict.positions == {"a": 4}
    assert "no position" in verdict.notes[0]


def test_a_new_participant_begins_where_its_log_begins_and_a_gone_one_is_kept():
    verdict = decide(cursor(a=4, gone=8), {"a": 4, "new": None}, {"new": 2})
    assert verdict == Begin({"a": 4, "gone": 8, "new": 2}, ())


def test_another_number_of_partitions_halts_the_shard():
    assert decide(cursor(8, a=4), {"a": 4}).reason == "partition_count_changed"


def test_input_that_was_deleted_unread_halts_until_a_person_accepts_it():
    assert decide(cursor(a=4), {"a": 4}, {"a": 6}).reason == "trimmed"
    accepted = decide(cursor(a=4), {"a": 4}, {"a": 6}, accept_trimmed=True)
    assert accepted.positions == {"a": 6}
    assert "accept_trimmed" in accepted.notes[0]


def test_a_position_beyond_the_end_means_another_topic():
    assert decide(cursor(a=4), {"a": 4}, ends={"a": 3}).reason == "beyond_end"


@pytest.mark.parametrize(
    ("position", "synced_days_ago", "reason"),
    [
        (0, 400, None),
        (50, 0, None),
        (100, 400, None),
        (101, 0, "ahead"),
        (9, 0, "trimmed"),
        (50, 4, "stale"),
        (50, 3, None),
    ],
)
def test_which_stores_are_not_trusted(position, synced_days_ago, reason):
    store, now_ms = MemoryStore(), 1_000 * DAY_MS
    store.apply(Batch(position, now_ms - synced_days_ago * DAY_MS))
    found = discard_reason(store, start=10, end=100, now_ms=now_ms, delete_retention_ms=7 * DAY_MS)
    assert found == reason


def state(saga_id, due_ms):
    step = StepState(StepStatus.REQUESTED, 1, 0, False, due_ms, b"c", b"")
    return SagaState(
        saga_id, "trip", 1, 7, Phase.RUNNING, 3, b"p", b"d" * 8, 1, 900, "", False, (), (), (step,)
    )


def record(offset, key, value):
    return Envelope(Origin("saga.changelog", 0, offset), key, value, (), 0)


def snapshot(offset, found):
    return record(offset, b"s|" + found.saga_id.encode(), CODEC.encode_snapshot(found))


def replay(store, envelopes, armed, synced_at_ms=1):
    store.replay(replayed(store, entries_of(envelopes), CODEC, synced_at_ms, armed))


def test_a_replayed_changelog_leaves_what_the_worker_left():
    store = MemoryStore()
    encoded = CODEC.encode_cursor(cursor(a=4))
    replay(
        store,
        [
            snapshot(0, state("s-1", 10)),
            snapshot(1, state("s-2", 20)),
            record(2, CURSOR_KEY, b"older"),
            snapshot(4, state("s-1", 30)),
            record(5, CURSOR_KEY, encoded),
        ],
        Armed(store),
        77,
    )
    replay(
        store,
        [
            record(7, BARRIER_KEY, b"n"),
            record(8, b"s|s-2", None),
            snapshot(9, state("s-3", 5)),
        ],
        Armed(store),
        78,
    )
    assert (store.position(), store.synced_at_ms(), store.cursor()) == (10, 78, encoded)
    assert dict(store.items()) == {
        s.saga_id: CODEC.encode_snapshot(s) for s in (state("s-1", 30), state("s-3", 5))
    }
    assert store.due(10_000, 100) == (Timer(5, "s-3", 0), Timer(30, "s-1", 0))


class Unknown(Armed):
    """Remembers nothing: the store is always asked."""

    def replace(self, after):
        return [None] * len(after)


SAGAS = st.sampled_from(["s-1", "s-2", "s-3"])
CHANGES = st.lists(st.tuples(SAGAS, st.none() | st.integers(0, 3)), min_size=1, max_size=6)


@pytest.mark.parametrize("slots_count", [1, 1 << 10])
@given(pieces=st.lists(CHANGES, min_size=1, max_size=8), forgotten=st.integers(0, 8))
def test_what_is_remembered_of_timers_changes_nothing(slots_count, pieces, forgotten):
    """It only saves reading: store and timers are the same without it, or if it begins later."""
    plain, remembering, offset = MemoryStore(), MemoryStore(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(restore, "_SEEN_COUNT", slots_count)
        armed = Armed(remembering)
        for number, piece in enumerate(pieces):
            envelopes = [
                record(offset + n, b"s|s-1", None)._replace(
                    key=b"s|" + saga.encode(),
                    value=None if due_ms is None else CODEC.encode_snapshot(state(saga, due_ms)),
                )
                for n, (saga, due_ms) in enumerate(piece)
            ]
            offset += len(piece)
            if number == forgotten:
                armed = Armed(remembering)
            replay(plain, envelopes, Unknown(plain))
            replay(remembering, envelopes, armed)
            assert list(plain.items()) == list(remembering.items())
            assert plain.due(10_000, 100) == remembering.due(10_000, 100)


def test_a_store_that_is_filled_from_empty_is_not_asked_for_what_is_new(monkeypatch):
    store, asked = MemoryStore(), []
    ask = store.get
    monkeypatch.setattr(store, "get", lambda saga_id: asked.append(saga_id) or ask(saga_id))
    armed = Armed(store)
    for begin in (0, 100):
        found = [snapshot(begin + n, state(f"s-{begin + n}", 1_000 + n)) for n in range(100)]
        replay(store, found, armed)

    assert len(asked) <= 5  # what shares a slot with another
    replay(store, [snapshot(200, state("s-7", 1))], Armed(store))
    assert asked[-1] == "s-7"
    assert store.due(1_007, 200).count(Timer(1_007, "s-7", 0)) == 0
    assert store.due(1, 5) == (Timer(1, "s-7", 0),)
