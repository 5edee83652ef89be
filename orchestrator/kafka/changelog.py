"""Reading single partitions outside the group: restores, standbys, audits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException

from orchestrator.codec.envelope import Envelope
from orchestrator.errors import ConfigurationError, StateError
from orchestrator.kafka import errors
from orchestrator.kafka.base import FaultKind, Position, ReadFault
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.source import LOGGER, consumer_config, envelopes, read_fault

_BATCH_COUNT = 1_000
_WAIT_S = 0.1
_LEADERS_S = 2.0


class ChangelogReader:
    """A `Reader` (see `kafka.base`). It commits nothing and is no member of any group."""

    def __init__(self, settings: KafkaSettings, client_id: str = "saga-reader") -> None:
        """Make ready; nothing is connected before `read`."""
        self._consumer = Consumer(
            {
                **consumer_config(settings),
                "client.id": client_id,
                # The library asks for one even here; never the workers' own, which it could harm.
                "group.id": f"{client_id}.reader",
                "enable.partition.eof": True,
                # A fetch that still waits for the last partition holds up the next one's.
                "fetch.wait.max.ms": 10,
                "error_cb": lambda _: None,
            },
            logger=LOGGER,
        )

    def read(self, start: Position, until: int) -> Iterator[Sequence[Envelope]]:
        """Yield batches until every committed record below offset `until` is out."""
        if start.offset >= until:
            return
        first = start.offset or OFFSET_BEGINNING
        if first == OFFSET_BEGINNING:
            self._learn_leaders(start.topic)
        self._consumer.assign(
            [confluent_kafka.TopicPartition(start.topic, start.partition, first)]
        )
        try:
            reached = start.offset
            while reached < until:
                messages = self._take()
                good = [message for message in messages if message.error() is None]
                for message in messages:
                    reached = max(reached, _next_offset(message))
                yield envelopes(good)
        finally:
            self._consumer.unassign()

    def close(self) -> None:
        """Release connections."""
        self._consumer.close()

    def _learn_leaders(self, topic: str) -> None:
        # Asked where an unknown partition begins, the library looks for its leader and asks again
        # after 500 ms. Known beforehand, it takes 5.
        with suppress(KafkaException):  # brokers that are away show when reading
            self._consumer.list_topics(topic, timeout=_LEADERS_S)

    def _take(self) -> list[Any]:
        first = self._consumer.poll(_WAIT_S)
        if first is None:
            return []
        return [first, *self._consumer.consume(_BATCH_COUNT - 1, 0)]


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
