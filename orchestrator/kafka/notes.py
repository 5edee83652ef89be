"""Notes beside the positions of a group that nobody is a member of, for whoever looks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import confluent_kafka
from confluent_kafka import Consumer, KafkaException

from orchestrator.kafka.base import TopicPartition
from orchestrator.kafka.ear import LOGGER
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.source import consumer_config


class NoteBoard:
    """Leaves notes, and waits for nobody. A failure is no matter.

    Not by an admin request: one that is open while its broker goes away and comes back has been seen
    to abort the process, in the client library.
    """

    def __init__(self, settings: KafkaSettings, client_id: str, group: str) -> None:
        """Make ready; nothing is connected before the first note."""
        self._config = {
            **consumer_config(settings),
            "client.id": client_id,
            "group.id": group,
            "error_cb": lambda _: None,
        }
        self._consumer: Consumer | None = None

    def leave(self, notes: Mapping[TopicPartition, str]) -> None:
        """Leave notes in place of others. A broker takes 4,096 bytes each."""
        if self._consumer is None:
            self._consumer = Consumer(self._config, logger=LOGGER)
        places = [confluent_kafka.TopicPartition(*pair, 0, note) for pair, note in notes.items()]
        with suppress(KafkaException):
            self._consumer.commit(offsets=places, asynchronous=True)
