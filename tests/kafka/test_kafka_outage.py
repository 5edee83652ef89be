"""The adapters while their broker hangs or dies. These tests have a broker of their own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import psutil
import pytest
from kafka_kit import Cluster, assigned, polled, rebalances, wait_for

from orchestrator.codec.envelope import Record
from orchestrator.errors import (
    ConfigurationError,
    Doubtful,
    Fenced,
    MustAbort,
    Retriable,
    Unreachable,
)
from orchestrator.kafka.base import Assigned, FaultKind, Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.sink import fence
from orchestrator.local_kafka import LocalKafka

pytestmark = pytest.mark.system
ASKER = """
import sys
from orchestrator.errors import Unreachable
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.settings import KafkaSettings

admin = KafkaAdmin(KafkaSettings(bootstrap_servers=sys.argv[1]), timeout_s=1.0)
for question in sys.stdin:
    try:
        getattr(admin, question.strip())("nobody")
    except Unreachable:
        print("unreachable", flush=True)
    else:
        print("answered", flush=True)
"""


@pytest.fixture(scope="module")
def mortal():
    with LocalKafka() as started:
        yield started


@pytest.fixture
def cluster(mortal, topic_prefix):
    cluster = Cluster(mortal.bootstrap_servers, topic_prefix)
    yield cluster
    cluster.close()


@contextmanager
def hung_for(mortal, seconds):
    """Stop the broker's process and have another process wake it."""
    pid = mortal._handle(1).pid
    os.kill(pid, signal.SIGSTOP)
    with subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill -CONT {pid}"]) as waker:
        yield
        waker.wait()


def is_well(cluster):
    """Whether the broker can make a topic, and so knows its controller."""
    try:
        return cluster.topic("after")
    except Unreachable as error:
        logging.getLogger(__name__).warning("not yet: %s", error)  # if it stays so, this says why
        return False


def committed_values(cluster, topic):
    """What readers see once every transaction is decided."""
    pair = TopicPartition(topic, 0)
    until = cluster.admin.end_offsets([pair])[pair]
    reader = ChangelogReader(cluster.settings)
    found = [e.value for batch in reader.read(Position(topic, 0, 0), until) for e in batch]
    reader.close()
    return found


def read_from_the_start(source, topic, count):
    """The values that a member reads whom the group may throw out and take back meanwhile."""
    start, values = [Position(topic, 0, 0)], []
    source.assign(start)

    def step():
        poll = source.poll_batch(500, 0.05)
        if rebalances([poll], Assigned):
            values.clear()
            source.assign(start)
        values.extend(record.value for record in poll.records)
        return len(values) >= count

    wait_for(step)
    return values


def test_a_commit_that_the_broker_sat_on_is_doubtful_yet_done(cluster, mortal):
    topic = cluster.topic()
    sink = cluster.sink()
    cluster.commit(sink, topic, b"one")
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"two"))
    with hung_for(mortal, 3), pytest.raises(Doubtful, match="took"):
        sink.commit()
    sink.rotate()
    cluster.commit(sink, topic, b"three")

    assert committed_values(cluster, topic) == [b"one", b"two", b"three"]


def test_closing_does_not_wait_for_a_broker_that_hangs(cluster, mortal):
    topic = cluster.topic()
    source = cluster.source(topic, keeps_positions=True)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    broker = psutil.Process(mortal._handle(1).pid)
    with hung_for(mortal, 15):
        source.store([Position(topic, 0, 4)])
        source.close()
        assert broker.status() == psutil.STATUS_STOPPED
    wait_for(lambda: is_well(cluster), 60)  # its controller had given it up


def test_no_call_outlives_its_budget_when_the_broker_is_dead(cluster, mortal):
    topic = cluster.topic()
    source = cluster.source(topic)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    group = source.group_metadata()
    sink = cluster.sink(1, transaction_timeout_ms=4_000)
    producer = PlainProducer(cluster.settings, "test", timeout_s=1)
    cluster.commit(sink, topic, b"one")
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"two"))
    mortal.kill_node(1)

    with pytest.raises((Doubtful, MustAbort)):
        sink.send_offsets([Position(topic, 0, 1)], group)
    with pytest.raises((Doubtful, MustAbort)):
        sink.commit()
    with pytest.raises((Doubtful, MustAbort)):
        sink.abort()
    with pytest.raises(Doubtful):
        sink.rotate()
    with pytest.raises(Doubtful, match="rotate"):
        sink.begin()
    with pytest.raises(Doubtful):
        fence(cluster.settings, f"{cluster.prefix}-002", timeout_s=0.5)
    with pytest.raises(Retriable):
        source.committed([TopicPartition(topic, 0)], 0.5)
    with pytest.raises(Retriable):
        producer.send([Record(topic, 0, b"k", b"lost")])
    cluster.admin._timeout_s = 1
    with pytest.raises(ConfigurationError):
        cluster.admin.topics([topic])
    polls = polled(source, lambda polls: any(poll.faults for poll in polls))
    assert {fault.kind for poll in polls for fault in poll.faults} == {FaultKind.TRANSIENT}

    mortal.start_node(1)
    sink.rotate()
    try:
        cluster.commit(sink, topic, b"three")
    except Fenced:  # by an attempt of ours at the id that was given up, and came late
        sink.rotate()
        cluster.commit(sink, topic, b"three")
    assert committed_values(cluster, topic) == [b"one", b"three"]
    assert read_from_the_start(source, topic, 2) == [b"one", b"three"]
    producer.close()


@pytest.mark.parametrize("question", ["members", "positions"])
def test_a_question_to_a_coordinator_that_was_away_harms_nothing_when_it_is_back(mortal, question):
    """In a process of its own: the library would abort it."""
    asker = subprocess.Popen(
        [sys.executable, "-c", ASKER, mortal.bootstrap_servers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )

    def answer():
        asker.stdin.write(f"{question}\n")
        return asker.stdout.readline().strip()

    with asker:
        wait_for(lambda: answer() == "answered", 60)
        mortal.kill_node(1)
        assert answer() == "unreachable"
        mortal.start_node(1)
        wait_for(lambda: answer() == "answered", 60)
        asker.stdin.close()
        assert asker.wait(60) == 0
