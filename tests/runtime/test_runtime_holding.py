"""Which shards wait when a topic refuses records, for how long, and for what."""

from __future__ import annotations

import pytest

from orchestrator.codec.envelope import Record
from orchestrator.codec.keys import REROUTED
from orchestrator.errors import Doubtful, MustAbort, Unreachable, Unwritable
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.observability.log import get
from orchestrator.runtime.holding import PAUSE_S, PAUSE_S_MAX, Holding
from orchestrator.runtime.shard import Shard, ShardStatus
from orchestrator.store.memory import MemoryStores

SHARDS_COUNT = 4
ORDERS = "saga.participant.bank.commands"
LETTERS, OUTCOMES = "saga.dead-letters", "saga.outcomes"


class House:
    """Four running shards, a cluster that refuses what it is told to, and a clock."""

    def __init__(self):
        self.refused, self.now_s, self.halts = {}, 0.0, []
        stores = MemoryStores()
        self.shards = {n: Shard(n, stores.open(n), None, 10) for n in range(SHARDS_COUNT)}
        for shard in self.shards.values():
            shard.status = ShardStatus.RUNNING
        self.holding = Holding(
            self, self.halt, self, get(), partitions=SHARDS_COUNT, shared=[ORDERS]
        )

    def refusals(self, places):
        if self.refused is None:
            raise Unreachable("nobody answers")
        return {place: "gone" for place in places if place.topic in self.refused}

    def monotonic_s(self):
        return self.now_s

    def halt(self, shard, why):
        shard.status = ShardStatus.HALTED
        self.halts.append((shard.partition, why.reason))

    def failed(self, error, *records):
        self.holding.failed(records, error)
        return self.holding.hold(self.shards)

    def wait_due(self):
        """How long until shard 2 is tried again."""
        began_s = self.now_s
        while not self.holding.due(self.shards):
            self.now_s += PAUSE_S
        return self.now_s - began_s


@pytest.fixture
def house():
    return House()


def key_of(shard):
    return next(b"saga-%d" % n for n in range(100) if partition_of(b"saga-%d" % n, 4) == shard)


@pytest.mark.parametrize(
    ("record", "shard"),
    [
        (Record(LETTERS, 2, key_of(1), b""), 2),
        (Record(ORDERS, 7, key_of(3), b""), 3),
        (Record("saga.commands", 1, b"k", b"", ((REROUTED, b"saga.commands/2/17"),)), 2),
    ],
)
def test_the_shard_that_wrote_waits(house, record, shard):
    house.refused = {record.topic}
    fine = Record(OUTCOMES, 0, b"k", b"")

    assert house.failed(MustAbort("why"), fine, record)
    assert house.halts == [(shard, "unwritable")]


def test_what_the_broker_has_refused_counts_whatever_the_cluster_says(house):
    error = Unwritable("too large", frozenset({(LETTERS, 2)}))
    assert house.failed(error, Record(LETTERS, 2, b"k", b""), Record(LETTERS, 1, b"k", b""))
    assert house.halts == [(2, "unwritable")]


def test_nobody_waits_unless_a_topic_is_to_blame(house):
    record = Record(LETTERS, 2, b"k", b"")
    assert not house.failed(MustAbort("a rebalance"), record)
    house.refused = {LETTERS}
    assert not house.failed(Doubtful("slow"), record)
    house.refused = None
    assert not house.failed(Unwritable("gone, or brokers that are away"), record)
    assert house.halts == []


def test_a_shard_is_tried_again_once_its_topic_is_well_less_and_less_often(house):
    record, house.refused = Record(LETTERS, 2, b"k", b""), {LETTERS}
    house.failed(MustAbort("why"), record)
    house.now_s += 10 * PAUSE_S_MAX
    assert house.holding.due(house.shards) == []

    house.refused = {}
    assert house.wait_due() == 2 * PAUSE_S
    house.shards[2].status = ShardStatus.RUNNING
    waits = []
    for _ in range(6):
        house.failed(Unwritable("too large", frozenset({(LETTERS, 2)})), record)
        waits.append(house.wait_due())
        house.shards[2].status = ShardStatus.RUNNING
    assert waits == [4, 8, 16, 30, 30, 30]

    house.holding.succeeded([1, 2])
    house.failed(Unwritable("too large", frozenset({(LETTERS, 2)})), record)
    assert house.wait_due() == PAUSE_S


def test_a_shard_that_is_tried_again_is_among_those_to_be_taken_over_whatever_happens_next(house):
    record, house.refused = Record(LETTERS, 2, b"k", b""), {LETTERS}
    house.failed(MustAbort("why"), record)
    house.refused = {}

    house.wait_due()
    assert house.shards[2].status is ShardStatus.RESTORING


def test_a_shard_that_has_gone_or_was_taken_over_anew_is_not_tried(house):
    record, house.refused = Record(LETTERS, 2, b"k", b""), {LETTERS}
    house.failed(MustAbort("why"), record)
    house.shards[2].status = ShardStatus.RUNNING
    house.now_s += PAUSE_S
    house.refused = {}

    assert house.holding.due(house.shards) == []
    house.now_s += PAUSE_S_MAX
    assert house.holding.due(house.shards) == []
