"""Is the cluster there? Asked with the same client library that the workers use."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

if TYPE_CHECKING:
    from concurrent.futures import Future

_POLL_S = 0.05
_REQUEST_TIMEOUT_S = 2.0
# One group for each partition of our offsets topic, so that all of them are asked for.
_PROBE_GROUPS = ["a", "b", "c", "d"]
_NOT_YET = {
    KafkaError._TIMED_OUT,  # noqa: SLF001 - how the client names its own errors
    KafkaError._TRANSPORT,  # noqa: SLF001
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
}


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there. Cheaper and quieter than a Kafka client's first attempts."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def broker_count(bootstrap_servers: str) -> int:
    """How many brokers a cluster says it has; 0 if it does not answer in time."""
    admin = _admin(bootstrap_servers)  # its futures never end once it is collected
    try:
        cluster = admin.describe_cluster(request_timeout=_REQUEST_TIMEOUT_S)
        return len(cluster.result().nodes)
    except KafkaException:
        return 0


def wake_transaction_coordinator(bootstrap_servers: str) -> None:
    """Make the cluster create its transaction log, without waiting until it has.

    The first producer of a new cluster then waits 60 ms instead of 1.2 s.
    """
    producer = Producer({**_quiet(bootstrap_servers), "transactional.id": "local-kafka-probe"})
    with contextlib.suppress(KafkaException):
        producer.init_transactions(0.1)


def group_coordinators_answer(bootstrap_servers: str) -> bool:
    """Whether consumer groups can be joined; the first question creates the offsets topic.

    A consumer that comes too early is told so, and asks again only after 3 s.
    """
    admin = _admin(bootstrap_servers)
    answers = admin.describe_consumer_groups(_PROBE_GROUPS, request_timeout=_REQUEST_TIMEOUT_S)
    # All are awaited: librdkafka aborts the process if its client goes while questions are open.
    served = [_is_served(answer) for answer in answers.values()]
    return all(served)


def _is_served(answer: Future[object]) -> bool:
    try:
        answer.result()
    except KafkaException as error:
        # Any other answer, such as "no such group", comes from a coordinator that works.
        return error.args[0].code() not in _NOT_YET
    return True


def _admin(bootstrap_servers: str) -> AdminClient:
    return AdminClient(_quiet(bootstrap_servers))


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
