"""Replay over real topics and a real store: what is planted there is found, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.audit.compare import Kind
from orchestrator.audit.reading import Log
from orchestrator.audit.replaying import Replayer, Until
from orchestrator.audit.stores import LocalStores
from orchestrator.audit.timeline import timeline
from orchestrator.codec.envelope import Origin, Record
from orchestrator.codec.records import Cause, Cursor, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.events import SagaEnded, SagaStarted, StepRequested, StepSucceeded
from orchestrator.core.log import fold
from orchestrator.errors import ConfigurationError, NotFound
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import TopicSpec
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.store.base import Batch
from orchestrator.store.rocks import RocksShared, RocksStore, StoreSettings
from orchestrator.topics import Topics

CODEC = RecordCodec()
HOLD = """
import sys
from pathlib import Path
from orchestrator.store.rocks import RocksShared, RocksStore, StoreSettings
store = RocksStore(Path(sys.argv[1]), RocksShared(StoreSettings()))
print("held", flush=True)
sys.stdin.read()
store.close()
"""
SAGAS = ("ann", "bob", "cid", "dan")


class Shards:
    """The topics of an installation without workers; what they would write is written by hand."""

    def __init__(self, servers, prefix):
        self.settings = KafkaSettings(bootstrap_servers=servers)
        self.topics = Topics(prefix)
        self.admin = KafkaAdmin(self.settings)
        names = (self.topics.events, self.topics.changelog)
        self.admin.create([TopicSpec(name, 2, 1, {}) for name in names])
        self.producer = PlainProducer(self.settings, "test")
        self.reader = ChangelogReader(self.settings, "test-audit")
        self.log = Log(self.admin, self.reader, CODEC, self.topics)
        self.states = {}
        self.inputs_count = 0

    def close(self):
        self.producer.close()
        self.reader.close()

    def write(self, saga, *events, at_ms, sequence=None):
        shard = self.log.shard_of(saga)
        before = self.states.get(saga)
        origin = Origin(self.topics.commands, shard, self.inputs_count)
        self.inputs_count += 1
        first = sequence or (before.sequence if before else 0) + 1
        transition = Transition(saga, first, at_ms, Cause("start", origin, "ann"), 0, events)
        self.send(self.topics.events, shard, saga.encode(), CODEC.encode_transition(transition))
        state = self.states[saga] = fold(events, before)
        self.snapshot(saga, state)

    def snapshot(self, saga, state):
        shard = self.log.shard_of(saga)
        self.send(
            self.topics.changelog, shard, b"s|" + saga.encode(), CODEC.encode_snapshot(state)
        )
        cursor = Cursor(1, self.inputs(), 1_000, "saga-000", 1, 2, 1)
        self.send(self.topics.changelog, shard, b"cursor|", CODEC.encode_cursor(cursor))

    def inputs(self):
        return ((self.topics.commands, self.inputs_count),)

    def send(self, topic, shard, key, value):
        self.producer.send([Record(topic, shard, key, value)])

    def replay(self, until=None, stores=None):
        replayer = Replayer(self.log, CODEC, on_count=lambda _: None)
        reports = [
            replayer.now(shard, stores) if until is None else replayer.at(shard, until)
            for shard in range(self.log.partitions_count)
        ]
        equal = {}
        for report in reports:
            for name, count in report.compared.items():
                equal[name] = equal.get(name, 0) + count
        return equal, [difference for report in reports for difference in report.differences]

    def stores(self, folder):
        shared = RocksShared(StoreSettings())
        for shard in range(2):
            store = RocksStore(folder / f"{shard:03d}", shared)
            cursor = Cursor(1, self.inputs(), 1_000, "saga-000", 1, 2, 1)
            puts = {
                saga: CODEC.encode_snapshot(state)
                for saga, state in self.states.items()
                if self.log.shard_of(saga) == shard
            }
            store.apply(Batch(9, 1_000, cursor=CODEC.encode_cursor(cursor), puts=puts))
            store.close()
        return LocalStores(folder, CODEC)


@pytest.fixture
def shards(kafka, topic_prefix):
    found = Shards(kafka.bootstrap_servers, topic_prefix)
    for number, saga in enumerate(SAGAS):
        started = SagaStarted(saga, "book_trip", 1, 7, 1, 0, 1_000, 9_000, b"8bytes..", b"trip")
        found.write(
            saga, started, StepRequested(0, 1, 5_000, b"?", "reserve_seat"), at_ms=1_000 + number
        )
    for number, saga in enumerate(SAGAS):
        found.write(saga, StepSucceeded(0, 1, True, b"12A"), at_ms=2_000 + number)
    yield found
    found.close()


def test_log_changelog_and_store_agree(shards, tmp_path):
    stores = shards.stores(tmp_path)
    equal, differences = shards.replay(stores=stores)

    assert differences == []
    assert equal == {
        "changelog": 4,
        "store 000": equal["store 000"],
        "store 001": equal["store 001"],
    }
    assert equal["store 000"] + equal["store 001"] == 4


def test_an_earlier_moment(shards):
    assert shards.replay(Until(at_ms=1_500)) == ({"changelog": 4}, [])
    assert shards.replay(Until(at_ms=1_001)) == ({"changelog": 2}, [])
    assert shards.replay(Until(at_ms=0)) == ({"changelog": 0}, [])


def test_a_changed_byte_in_the_changelog(shards):
    state = shards.states["bob"]
    shards.snapshot("bob", state._replace(payload=b"trap"))
    equal, (difference,) = shards.replay()

    assert equal == {"changelog": 3}
    assert (difference.kind, difference.saga, difference.copy) == (Kind.BYTES, "bob", "changelog")
    assert (difference.expected.payload, difference.found.payload) == (b"trip", b"trap")
    assert shards.replay(Until(at_ms=9_000))[1] == []  # the right one is still there, too


def test_a_repeated_and_a_dropped_event(shards):
    shards.write("ann", SagaEnded(3, 1, 99_000, b""), at_ms=3_000, sequence=3)
    shards.write("bob", SagaEnded(3, 1, 99_000, b""), at_ms=3_000, sequence=5)
    equal, differences = shards.replay()

    assert equal == {"changelog": 2}
    assert {(one.kind, one.saga) for one in differences} == {
        (Kind.BROKEN_LOG, "ann"),
        (Kind.BROKEN_LOG, "bob"),
    }


def test_an_unreadable_record(shards):
    shards.send(shards.topics.events, shards.log.shard_of("cid"), b"cid", b"\xc3\x01garbage")
    _, (difference,) = shards.replay()

    assert (difference.kind, difference.saga) == (Kind.UNREADABLE, "cid")


def test_a_changed_byte_in_a_store_and_one_that_lags(shards, tmp_path):
    stores = shards.stores(tmp_path)
    lagging = shards.replay(stores=stores)
    shards.write("ann", SagaEnded(3, 1, 99_000, b""), at_ms=3_000)
    assert lagging[1] == shards.replay(stores=stores)[1] == []

    path = tmp_path / f"{shards.log.shard_of('dan'):03d}"
    store = RocksStore(path, RocksShared(StoreSettings()))
    wrong = CODEC.encode_snapshot(shards.states["dan"]._replace(cause="deadline"))
    store.apply(Batch(9, 1_000, puts={"dan": wrong}))
    store.close()
    _, (difference,) = shards.replay(stores=stores)

    assert (difference.kind, difference.saga) == (Kind.BYTES, "dan")
    assert difference.copy == f"store {path.name}"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000", "001"]


def test_a_store_that_a_worker_holds_is_left_alone(shards, tmp_path):
    stores = shards.stores(tmp_path)
    worker = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "000")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert worker.stdout.readline() == b"held\n"
    with pytest.raises(ConfigurationError, match="held by a running worker"):
        shards.replay(stores=stores)
    worker.communicate()
    assert shards.replay(stores=stores)[1] == []


def test_a_folder_without_stores(tmp_path):
    with pytest.raises(NotFound):
        LocalStores(tmp_path, CODEC)


def test_the_timeline_names_steps_and_places(shards):
    shard = shards.log.shard_of("ann")
    span = shards.log.span(shards.topics.events, shard)
    moments = list(timeline(shards.log.transitions(shard, span, saga="ann")))

    assert [(one.sequence, one.event, one.step) for one in moments] == [
        (1, "SagaStarted", ""),
        (2, "StepRequested", "reserve_seat"),
        (3, "StepSucceeded", "reserve_seat"),
    ]
    assert {one.origin.topic for one in moments} == {shards.topics.events}
    assert [one.actor for one in moments] == ["ann"] * 3


def test_no_such_installation(kafka):
    settings = KafkaSettings(bootstrap_servers=kafka.bootstrap_servers)
    reader = ChangelogReader(settings, "test-audit")
    log = Log(KafkaAdmin(settings), reader, CODEC, Topics("nobody"))
    with pytest.raises(NotFound, match="--prefix"):
        log.shard_of("ann")
    reader.close()
