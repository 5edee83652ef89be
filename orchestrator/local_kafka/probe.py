"""Is the cluster there? Asked with the same client library that the workers use."""

from __future__ import annotations

import socket
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_POLL_S = 0.05


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there. Cheaper and quieter than a Kafka client's first attempts."""
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True


def broker_count(bootstrap_servers: str, timeout_s: float) -> int:
    """How many brokers a cluster says it has; 0 if it does not answer in time."""
    client = AdminClient(
        {
            "bootstrap.servers": bootstrap_servers,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,  # refused connections are expected here, and nobody's business
        }
    )
    try:
        return len(client.describe_cluster(request_timeout=timeout_s).result().nodes)
    except KafkaException:
        return 0


def pause() -> None:
    """Let a moment pass between two questions."""
    time.sleep(_POLL_S)
