"""Reading single partitions outside the group: restores, standbys, audits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException

from orchestrator.codec.envelope import Envelope
from orchestrator.errors import ConfigurationError, StateError
from orchestrator.kafka import errors
from orchestrator.kafka.base import Entries, FaultKind, Position, ReadFault, Tailed, TopicPartition
from orchestrator.kafka.ear import LOGGER
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.source import consumer_config, envelopes, read_fault, take

_BATCH_COUNT = 1_000
_WAIT_S = 0.1
_LEADERS_S = 2.0
_REMEMBERED_S = 60.0
"""How long the library surely knows the leaders of a topic that it does not read."""


def _consumer(settings: KafkaSettings, client_id: str, group: str, wait_ms: int) -> Consumer:
    """A consumer that is no member of a group, and says when a partition is read to its end."""
    return Consumer(
        {
            **consumer_config(settings),
            "client.id": client_id,
            # The library asks for one even here; never the workers' own, which it could harm.
            "group.id": group,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": wait_ms,
            "error_cb": lambda _: None,
        },
        logger=LOGGER,
    )


class ChangelogReader:
    """A `Reader` (see `kafka.base`). It commits nothing and is no member of any group."""

    def __init__(self, settings: KafkaSettings, client_id: str = "saga-reader") -> None:
        """Make ready; nothing is connected before `read`."""
        # A fetch that still waits for the last partition holds up the next one's.
        self._consumer = _consumer(settings, client_id, f"{client_id}.reader", wait_ms=2)
        self._asked_s: dict[str, float] = {}
        """When the leaders of a topic were asked for."""

    def read(self, start: Position, until: int) -> Iterator[Sequence[Envelope]]:
        """Yield batches until every committed record below offset `until` is out."""
        return map(envelopes, self._batches(start, until, _BATCH_COUNT))

    def read_entries(self, start: Position, until: int, count_max: int) -> Iterator[Entries]:
        """Yield what `read` does, at most `count_max` at once, in a third of the time."""
        return map(entries, self._batches(start, until, count_max))

    def close(self) -> None:
        """Release connections."""
        self._consumer.close()

    def _batches(self, start: Position, until: int, count_max: int) -> Iterator[list[Any]]:
        if start.offset >= until:
            return
        asked_s, now_s = self._asked_s.get(start.topic), time.monotonic()
        if asked_s is None or now_s - asked_s > _REMEMBERED_S:
            _learn_leaders(self._consumer, start.topic)
            self._asked_s[start.topic] = now_s
        first = start.offset or OFFSET_BEGINNING
        self._consumer.assign(
            [confluent_kafka.TopicPartition(start.topic, start.partition, first)]
        )
        try:
            reached = start.offset
            while reached < until:
                messages = take(self._consumer, count_max, _WAIT_S)
                good = without_errors(messages)
                if len(good) < len(messages):
                    reached = max(reached, *map(_next_offset, messages))
                elif good:
                    reached = _next_offset(good[-1])
                yield good
        finally:
            self._consumer.unassign()


class ChangelogTail:
    """A `Tail` (see `kafka.base`): no member of a group, but its positions are committed to one."""

    def __init__(self, settings: KafkaSettings, client_id: str, group: str) -> None:
        """Make ready. `group` gets the positions; nobody may be a member of it."""
        self._consumer = _consumer(settings, client_id, group, wait_ms=100)
        self._followed: set[TopicPartition] = set()

    def follow(self, start: Position) -> None:
        """Read this partition as well, from an offset on."""
        self.forget(TopicPartition(start.topic, start.partition))
        first = start.offset or OFFSET_BEGINNING
        if first == OFFSET_BEGINNING or not self._followed:
            _learn_leaders(self._consumer, start.topic)
        self._consumer.incremental_assign(
            [confluent_kafka.TopicPartition(start.topic, start.partition, first)]
        )
        self._followed.add(TopicPartition(start.topic, start.partition))

    def forget(self, partition: TopicPartition) -> None:
        """Read this partition no more."""
        if partition in self._followed:
            self._followed.discard(partition)
            self._consumer.incremental_unassign([confluent_kafka.TopicPartition(*partition)])

    def poll(self, count_max: int, timeout_s: float) -> Tailed:
        """Give what has come, waiting up to `timeout_s` for the first record."""
        messages = take(self._consumer, count_max, timeout_s)
        good = without_errors(messages)
        ends: dict[int, int] = {}
        lost: dict[int, str] = {}
        if len(good) < len(messages):
            for message in messages:
                error = message.error()
                if error is None:
                    continue
                if errors.is_end(error):
                    ends[message.partition()] = message.offset()
                elif errors.fault_kind(error) in (FaultKind.OUT_OF_RANGE, FaultKind.BAD_RECORD):
                    lost[message.partition()] = errors.describe(error)
        return Tailed(envelopes(good), ends, lost)

    def commit(self, positions: Sequence[Position]) -> None:
        """Commit positions, for whoever looks; nobody waits for it, and a failure is no matter."""
        with suppress(KafkaException):
            self._consumer.commit(
                offsets=[confluent_kafka.TopicPartition(*position) for position in positions],
                asynchronous=True,
            )

    def close(self) -> None:
        """Release connections."""
        self._consumer.close()


def without_errors(messages: list[Any]) -> list[Any]:
    """Those that are records."""
    return [message for message in messages if message.error() is None]


def entries(messages: list[Any]) -> Entries:
    """Convert messages that are records."""
    return Entries(
        [message.key() for message in messages],
        [message.value() for message in messages],
        _next_offset(messages[-1]) if messages else 0,
    )


def _learn_leaders(consumer: Consumer, topic: str) -> None:
    # The library looks for the leader of a partition that is new to it once a second, and asked
    # where one begins, again after 500 ms. Known beforehand, a first read takes 5.
    with suppress(KafkaException):  # brokers that are away show when reading
        consumer.list_topics(topic, timeout=_LEADERS_S)


def _next_offset(message: Any) -> int:
    """What a message says about how far the partition was read.

    A record at offset n: up to n + 1. The end of the partition: up to its offset, behind
    transaction markers, which no record shows. Other errors that cannot pass are raised.
    """
    error = message.error()
    offset: int = message.offset()
    if error is None:
        return offset + 1
    if errors.is_end(error):
        return offset
    _raise_lasting(read_fault(message), error)
    return 0


def _raise_lasting(fault: ReadFault, error: KafkaError) -> None:
    place = f"{fault.topic}/{fault.partition}"
    if fault.kind in (FaultKind.OUT_OF_RANGE, FaultKind.BAD_RECORD):
        raise StateError(f"reading {place}: {fault.text}")
    if fault.kind in (FaultKind.GONE, FaultKind.FORBIDDEN) or errors.is_fatal(error):
        raise ConfigurationError(f"reading {place}: {fault.text}")
