"""Is the cluster there? Asked with the same client library that the workers use."""

from __future__ import annotations

import contextlib
import socket
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

_POLL_S = 0.05
_REQUEST_TIMEOUT_S = 2.0
_PROBE = "local-kafka-probe"


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there. Cheaper and quieter than a Kafka client's first attempts."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def broker_count(bootstrap_servers: str) -> int:
    """How many brokers a cluster says it has; 0 if it does not answer in time."""
    client = AdminClient(_quiet(bootstrap_servers))
    try:
        return len(client.list_topics(timeout=_REQUEST_TIMEOUT_S).brokers)
    except KafkaException:
        return 0


def wake_transaction_coordinator(bootstrap_servers: str) -> None:
    """Make the cluster create its transaction log, without waiting until it has.

    The first producer of a new cluster then waits 60 ms instead of 1.2 s.
    """
    producer = Producer({**_quiet(bootstrap_servers), "transactional.id": _PROBE})
    with contextlib.suppress(KafkaException):
        producer.init_transactions(0.1)


def group_coordinator_answers(bootstrap_servers: str, timeout_s: float) -> bool:
    """Whether consumer groups can be joined; the first question creates the offsets topic.

    A consumer that comes too early is told so, and asks again only after 3 s. Asked as a consumer
    and not as an `AdminClient`, whose questions to coordinators abort the whole process when they
    time out (librdkafka 2.16: an assertion in `rd_kafka_enq_once_del_source_return`).
    """
    consumer = Consumer({**_quiet(bootstrap_servers), "group.id": _PROBE})
    try:
        consumer.committed([TopicPartition(_PROBE, 0)], timeout=timeout_s)
    except KafkaException:
        return False
    finally:
        consumer.close()
    return True


def _quiet(bootstrap_servers: str) -> dict[str, str | int | float | bool]:
    return {
        "bootstrap.servers": bootstrap_servers,
        "reconnect.backoff.ms": 20,
        "reconnect.backoff.max.ms": 100,
        "log_level": 0,  # refused connections are expected here, and nobody's business
    }


def pause() -> None:
    """Let a moment pass between two questions."""
    time.sleep(_POLL_S)
