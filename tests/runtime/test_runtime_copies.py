"""Copies of shards: whole transactions, in order, whatever the log and the store are like."""

from __future__ import annotations

import pytest

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.keys import BARRIER_KEY, CURSOR_KEY, SNAPSHOT_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import Phase, SagaState
from orchestrator.errors import ConfigurationError, Unreachable
from orchestrator.kafka.base import Tailed
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import get
from orchestrator.runtime import copies as module
from orchestrator.runtime.copies import Copies, closed_count
from orchestrator.runtime.restore import Shelf
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.store.memory import MemoryStore

CODEC = RecordCodec()
NAME = "saga.changelog"


class Clock:
    def now_ms(self):
        return 1_000_000

    def monotonic_s(self):
        return 5.0


class Stores:
    """Stores that stay when they are closed, as files do."""

    def __init__(self):
        self.kept, self.aside, self.held = {}, [], set()

    def open(self, partition):
        if partition in self.held:
            raise ConfigurationError("held")
        kept = self.kept.setdefault(partition, MemoryStore())
        kept.close = lambda: None
        return kept

    def set_aside(self, partition):
        self.aside.append(partition)
        self.kept.pop(partition, None)
        return "aside"


class Cluster:
    def __init__(self):
        self.starts, self.ends, self.away = {}, {}, False

    def start_offsets(self, pairs):
        return {pair: self.starts.get(pair.partition, 0) for pair in pairs}

    def end_offsets(self, pairs):
        if self.away:
            raise Unreachable("away")
        return {pair: self.ends.get(pair.partition, 0) for pair in pairs}


class Tail:
    """Gives what the test has put into `batches`, one a poll."""

    def __init__(self):
        self.batches, self.starts, self.committed = [], {}, []

    def follow(self, start):
        self.starts[start.partition] = start.offset

    def forget(self, pair):
        self.starts.pop(pair.partition, None)

    def poll(self, _count_max, _timeout_s):
        return self.batches.pop(0) if self.batches else Tailed([], {}, {})

    def commit(self, positions):
        self.committed += positions

    def close(self):
        self.starts.clear()


class Disk:
    low, free_bytes = False, 7

    def is_low(self):
        return self.low


class Bench:
    """Copies over memory, and the log that they follow."""

    def __init__(self):
        self.stores, self.cluster, self.tail, self.disk = Stores(), Cluster(), Tail(), Disk()
        log, settings = get(), WorkerSettings()
        shelf = Shelf(
            stores=self.stores,
            settings=settings,
            codec=CODEC,
            clock=Clock(),
            counters=Counters(),
            log=log,
        )
        self.copies = Copies(
            changelog=NAME,
            shelf=shelf,
            tail=self.tail,
            cluster=self.cluster,
            disk=self.disk,
            clock=Clock(),
            log=log,
        )

    def give(self, records=(), ends=None, lost=None):
        self.tail.batches.append(Tailed(list(records), ends or {}, lost or {}))
        return self.copies.pump(0.0)

    def store(self, partition=0):
        return self.stores.kept[partition]


def record(offset, key, value, partition=0):
    return Envelope(Origin(NAME, partition, offset), key, value, (), 0)


def snapshot(offset, saga, partition=0):
    state = SagaState(
        saga, "trip", 1, 7, Phase.RUNNING, 3, b"p", b"d" * 8, 1, 900, "", False, (), (), ()
    )
    return record(offset, SNAPSHOT_KEY + saga.encode(), CODEC.encode_snapshot(state), partition)


def cursor(offset, partition=0, transaction=1):
    value = CODEC.encode_cursor(Cursor(transaction, (("a", 1),), 1, "saga-000", 1, 4, 1))
    return record(offset, CURSOR_KEY, value, partition)


@pytest.fixture
def bench():
    made = Bench()
    made.copies.follow({0})
    return made


def test_what_is_closed_ends_with_a_cursor_or_a_barrier():
    first = [snapshot(0, "a"), cursor(1), snapshot(2, "b")]
    assert closed_count(first) == 2
    assert closed_count([*first, record(3, BARRIER_KEY, b"n")]) == 4
    assert closed_count([snapshot(0, "a")]) == 0
    assert closed_count([]) == 0


def test_a_transaction_is_written_when_its_cursor_has_come(bench):
    assert bench.give([snapshot(0, "a"), cursor(1), snapshot(3, "b")])
    assert bench.store().get("a") is not None
    assert bench.store().get("b") is None
    assert bench.store().position() == 2

    bench.give([snapshot(4, "c")])
    assert bench.store().get("c") is None
    bench.give([cursor(5, transaction=2)])

    assert [saga for saga, _ in bench.store().items()] == ["a", "b", "c"]
    assert bench.store().position() == 6
    assert CODEC.decode_cursor(bench.store().cursor()).transaction == 2


def test_half_a_transaction_is_no_end(bench):
    bench.give([snapshot(0, "a")], ends={0: 1})
    bench.copies.report()
    assert bench.tail.committed == [(NAME, 0, 0)]

    bench.give([cursor(1)], ends={0: 3})
    bench.copies.report()
    assert bench.tail.committed[1:] == [(NAME, 0, 3)]
    assert bench.store().synced_at_ms() == Clock().now_ms()


def test_a_history_without_cursors_is_written_as_it_comes(bench, monkeypatch):
    monkeypatch.setattr(module, "_UNCLOSED_COUNT_MAX", 3)
    bench.give([snapshot(n, f"s{n}") for n in range(3)])
    assert bench.store().position() == 0

    bench.give([snapshot(3, "s3")])

    assert bench.store().position() == 4


def test_each_shard_gets_its_own_records(bench):
    bench.copies.follow({0, 1})
    bench.give([snapshot(0, "a"), cursor(1), snapshot(0, "z", 1), cursor(1, 1)])
    assert bench.store(0).get("a") is not None
    assert bench.store(1).get("z") is not None
    assert bench.store(1).get("a") is None


def test_a_released_shard_is_written_no_more_and_taken_up_where_it_was(bench):
    bench.give([snapshot(0, "a"), cursor(1)])
    bench.copies.release([0])
    assert bench.copies.followed == frozenset()
    bench.give([snapshot(2, "b"), cursor(3)])
    assert bench.store().get("b") is None

    bench.cluster.ends[0] = 9
    bench.copies.follow({0})

    assert bench.tail.starts == {0: 2}


def test_a_copy_let_go_half_way_is_no_old_one(bench):
    bench.cluster.ends[0] = 100
    bench.give([snapshot(0, "a"), cursor(1)])
    bench.copies.release([0])

    bench.copies.follow({0})

    assert bench.stores.aside == []
    assert bench.store().get("a") is not None


def test_following_others_lets_the_first_go(bench):
    bench.copies.follow({1, 2})
    assert bench.copies.followed == {1, 2}
    assert set(bench.tail.starts) == {1, 2}


def test_a_store_that_another_has_open_is_asked_for_again(bench):
    bench.stores.held = {1}
    bench.copies.follow({0, 1})
    assert bench.copies.followed == {0}
    bench.stores.held = set()
    bench.copies.follow({0, 1})
    assert bench.copies.followed == {0, 1}


def test_while_the_cluster_is_away_nothing_is_begun_and_nothing_lost(bench):
    bench.give([snapshot(0, "a"), cursor(1)])
    bench.cluster.away = True
    bench.copies.follow({0, 1})
    assert bench.copies.followed == {0}
    assert bench.store().position() == 2


def test_a_store_ahead_of_its_changelog_is_begun_anew(bench):
    bench.give([snapshot(0, "a"), cursor(1)])
    bench.copies.release([0])
    bench.cluster.ends[0] = 1

    bench.copies.follow({0})

    assert bench.stores.aside == [0]
    assert bench.tail.starts == {0: 0}
    assert bench.store().get("a") is None


def test_a_log_that_has_gone_is_read_from_its_beginning_once(bench):
    bench.give([snapshot(0, "a"), cursor(1)])
    bench.give(lost={0: "out of range"})
    assert bench.stores.aside == [0]
    assert bench.tail.starts == {0: 0}

    bench.give(lost={0: "bad checksum"})

    assert bench.copies.followed == frozenset()
    bench.copies.follow({0})
    assert bench.copies.followed == frozenset(), "given up until there is another program"


def test_what_cannot_be_decoded_ends_the_copy_and_nothing_else(bench):
    bench.copies.follow({0, 1})
    bad = record(0, SNAPSHOT_KEY + b"a", b"\xff\xff")
    bench.give([bad, cursor(1), snapshot(0, "z", 1), cursor(1, 1)])
    assert bench.copies.followed == {1}
    assert bench.store(1).get("z") is not None


def test_lag_is_nothing_once_the_end_was_seen(bench):
    bench.cluster.ends[0] = 3
    bench.give([snapshot(0, "a"), cursor(1)])
    assert bench.copies.lags() == {0: 1}
    bench.give(ends={0: 3})
    assert bench.copies.lags() == {0: 0}
    bench.cluster.ends[0] = 5
    assert bench.copies.lags() == {0: 2}


def test_positions_are_told_when_they_move(bench):
    bench.give([snapshot(0, "a"), cursor(1)], ends={0: 3})
    bench.copies.report()
    bench.copies.report()
    assert bench.tail.committed == [(NAME, 0, 3)]


def test_without_room_nothing_is_written_but_shards_are_let_go(bench):
    bench.disk.low = True
    assert bench.give([snapshot(0, "a"), cursor(1)]) == 0
    assert bench.store().get("a") is None
    bench.disk.low = False
    assert bench.copies.pump(0.0) == 2
    assert bench.store().get("a") is not None
    bench.disk.low = True
    bench.copies.release([0])
    assert bench.copies.followed == frozenset()
