"""A producer without transactions, for clients and participants: idempotent, and it waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from confluent_kafka import KafkaError, KafkaException, Producer

from orchestrator.codec.envelope import Origin, Record
from orchestrator.errors import OrchestratorError, Retriable
from orchestrator.kafka import errors
from orchestrator.kafka.ear import LOGGER
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.threads import yielding

Acknowledged = Callable[[Record, Origin], None]
"""Called for each record that brokers have, with its place; in the order of each partition."""

Delivered: TypeAlias = Callable[[KafkaError | None, Any], None]
"""Called by the client library for each record that it is done with."""
_TIMEOUT_S = 30.0
_LINGER_MS = 50
"""How long a record waits for others of its partition while `send` still draws; the flush at its end
ends all waiting. At 2, records were due while a request with those before them was on its way, and
until its answer the library polls without a pause: a third of a client's CPU."""
_SERVE_COUNT = 500
"""Records between two looks for acknowledgements."""


class PlainProducer:
    """Sends records and waits until brokers have them; one thread uses it.

    A record is written once and in order as long as one `send` lasts. After a failure, sending
    again may write a record twice: whoever reads them must know them by their ids.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        client_id: str,
        timeout_s: float = _TIMEOUT_S,
        *,
        quiet: bool = False,
    ) -> None:
        """Make ready; nothing is connected before the first `send`.

        Args:
            settings: The cluster.
            client_id: How brokers know us.
            timeout_s: How long a record may take to be acknowledged.
            quiet: Only failures are reported, which is cheaper: `on_acknowledged` is never called.
        """
        self._timeout_s = timeout_s
        self._config = {
            **settings.to_librdkafka(),
            "client.id": client_id,
            "enable.idempotence": True,
            "message.timeout.ms": int(timeout_s * 1_000),
            # A misspelt topic shows after this, not after half a minute.
            "topic.metadata.propagation.max.ms": 2_000,
            "linger.ms": _LINGER_MS,
            "retry.backoff.ms": 10,
            "compression.type": "lz4",
            "delivery.report.only.error": quiet,
            "error_cb": lambda _: None,
        }
        self._producer: Producer | None = None

    def send(self, records: Iterable[Record], on_acknowledged: Acknowledged | None = None) -> None:
        """Send records, drawn from as fast as Kafka takes them; return when brokers have all.

        Raises Retriable if one was not acknowledged in time, ConfigurationError if its topic does
        not exist, an ACL is missing or it is too large. Others may have been written.
        """
        producer = self._open()
        produce = producer.produce
        failures: list[OrchestratorError] = []
        delivered: Delivered = partial(_refused, failures)
        for count, record in enumerate(records, start=1):
            topic, partition, key, value, headers = record
            if on_acknowledged is not None:
                delivered = partial(_delivered, record, on_acknowledged, failures)
            try:
                if headers:
                    produce(topic, value, key, partition, delivered, headers=list(headers))
                else:
                    produce(topic, value, key, partition, delivered)
            except BufferError:
                failures += self._insist(producer, record, delivered)
            except KafkaException as error:
                failures.append(_failure(errors.cause(error), topic))
            if count % _SERVE_COUNT == 0:
                producer.poll(0)
            if failures:
                break
        left_count = producer.flush(self._timeout_s + 1)
        if left_count:
            failures.append(Retriable(f"sending: {left_count} records were not acknowledged"))
        if failures:
            self.close()
            raise failures[0]

    def close(self) -> None:
        """Release connections. Nothing is lost: every `send` has waited."""
        if self._producer is not None:
            self._producer.purge()
            self._producer = None

    def _open(self) -> Producer:
        if self._producer is None:
            with yielding():
                self._producer = Producer(self._config, logger=LOGGER)
        return self._producer

    def _insist(
        self, producer: Producer, record: Record, delivered: Delivered
    ) -> list[OrchestratorError]:
        """Send a record that found the queue full, once there is room; give what else is wrong."""
        topic, partition, key, value, headers = record
        until_s = time.monotonic() + self._timeout_s
        while time.monotonic() < until_s:
            producer.poll(0.01)
            try:
                producer.produce(
                    topic, value, key, partition, delivered, headers=list(headers) or None
                )
            except BufferError:
                continue
            except KafkaException as error:
                return [_failure(errors.cause(error), topic)]
            return []
        return [Retriable(f"sending to {topic}: the queue stayed full")]


def _delivered(
    record: Record,
    told: Acknowledged,
    failures: list[OrchestratorError],
    error: KafkaError | None,
    message: Any,
) -> None:
    if error is None:
        told(record, Origin(message.topic(), message.partition(), message.offset()))
    else:
        _refused(failures, error, message)


def _refused(failures: list[OrchestratorError], error: KafkaError | None, message: Any) -> None:
    if error is not None and not failures:
        failures.append(_failure(error, message.topic()))


def _failure(error: KafkaError, topic: str) -> OrchestratorError:
    return errors.sending_error(error, f"sending to {topic}")
