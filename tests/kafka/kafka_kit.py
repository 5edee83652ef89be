"""Shared by the tests against a real broker."""

from __future__ import annotations

import time

from orchestrator.codec.envelope import Record
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Assigned, TopicSpec
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink, TransactionSettings
from orchestrator.kafka.source import KafkaSource

PATIENCE_S = 30


class Cluster:
    """Makes adapters whose names begin with one test's prefix, and closes them after it."""

    def __init__(self, servers: str, prefix: str) -> None:
        self.settings = KafkaSettings(bootstrap_servers=servers)
        self.prefix = prefix
        self.admin = KafkaAdmin(self.settings)
        self._opened: list[KafkaSource | TransactionalSink] = []

    def topic(self, name="in", partitions=1, **config):
        spec = TopicSpec(f"{self.prefix}.{name}", partitions, 1, config)
        self.admin.create([spec])
        wait_for(lambda: self.admin.topics([spec.name]))
        return spec.name

    def source(self, *topics, number=0, group="g", **options):
        source = KafkaSource(
            self.settings,
            group=f"{self.prefix}.{group}",
            instance_id=f"{self.prefix}-{number:03d}",
            topics=topics,
            **{"session_timeout_ms": 6_000, **options},
        )
        self._opened.append(source)
        return source

    def sink(self, number=0, *, init=True, **tuning):
        sink = TransactionalSink(
            self.settings, f"{self.prefix}-{number:03d}", TransactionSettings(**tuning)
        )
        self._opened.append(sink)
        if init:
            sink.init()
        return sink

    def commit(self, sink, topic, *values, partition=0):
        """Write values in one transaction without inputs; only a test may do that."""
        sink.begin()
        for value in values:
            sink.send(Record(topic, partition, b"k", value), track=True)
        return sink.commit()

    def close(self):
        for adapter in self._opened:
            adapter.close()


def wait_for(condition, patience_s=PATIENCE_S):
    """Await a condition; give what it returned."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def polled(source, condition, patience_s=PATIENCE_S):
    """Poll until `condition(polls so far)`; give all polls."""
    polls = []

    def step():
        polls.append(source.poll_batch(500, 0.05))
        return condition(polls)

    wait_for(step, patience_s)
    return polls


def assigned(source):
    """Poll until the group assigned something; give the partitions."""
    polls = polled(source, lambda polls: any(rebalances(polls, Assigned)))
    return rebalances(polls, Assigned)[-1].partitions


def rebalances(polls, kind):
    return [found for poll in polls for found in poll.rebalances if isinstance(found, kind)]


def records(polls):
    return [record for poll in polls for record in poll.records]
