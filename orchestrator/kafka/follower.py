"""Following whole topics as they grow, outside any group: dashboards, clients, benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

import confluent_kafka
from confluent_kafka import OFFSET_END, Consumer

from orchestrator.codec.envelope import Envelope
from orchestrator.kafka.ear import LOGGER
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.source import consumer_config, envelopes, take


class Follower:
    """Reads every partition of some topics from their end as it is now. Commits nothing."""

    def __init__(
        self, settings: KafkaSettings, topics: Sequence[tuple[str, int]], client_id: str
    ) -> None:
        """Begin to follow `topics`: (name, number of partitions)."""
        self._consumer = Consumer(
            {
                **consumer_config(settings),
                "client.id": client_id,
                # The library asks for one even here; never the workers' own, which it could harm.
                "group.id": f"{client_id}.follower",
                "error_cb": lambda _: None,
            },
            logger=LOGGER,
        )
        self._consumer.assign(
            [
                confluent_kafka.TopicPartition(name, partition, OFFSET_END)
                for name, count in topics
                for partition in range(count)
            ]
        )

    def poll(self, count_max: int, timeout_s: float) -> list[Envelope]:
        """Give what has come, waiting up to `timeout_s` for the first record.

        A passing fault of the connection gives fewer records, never an error.
        """
        messages = take(self._consumer, count_max, timeout_s)
        return envelopes([message for message in messages if message.error() is None])

    def close(self) -> None:
        """Release connections."""
        self._consumer.close()
