"""M27: three brokers are upgraded, one after the other, under load.

`kafka-4.3.1.lock.json` was made by `local_kafka.locks.make_lock` from the roots that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cluster import wait_in_sync
from town import Town

from orchestrator.local_kafka import LocalKafka, cluster
from orchestrator.local_kafka.backend import ProcessBackend
from orchestrator.local_kafka.progress import silent

BEFORE = Path(__file__).parent / "kafka-4.3.1.lock.json"


@pytest.fixture
def harbour(tmp_path, topic_prefix, monkeypatch):
    """A town on three brokers of the release before."""
    monkeypatch.setattr(cluster, "_backend", lambda _: ProcessBackend(BEFORE))
    with (
        LocalKafka(3) as kafka,
        Town(kafka, topic_prefix, tmp_path, profile="production") as made,
    ):
        yield made


def releases(node):
    """Which releases a node says that it was, in order."""
    return list(dict.fromkeys(re.findall(r"Kafka version: (\S+)", node.log_path.read_text())))


def test_brokers_are_upgraded_one_after_the_other(harbour):
    town, kafka = harbour, harbour.kafka
    town.open_shop()
    worker = town.worker()
    town.begin(24)
    town.wait_ended()
    after = ProcessBackend()
    after.prepare(silent)

    for node in (1, 2, 3):
        town.begin(12)
        kafka.stop_node(node)
        town.begin(12)
        kafka._backend = after
        kafka.start_node(node)
        wait_in_sync(kafka)
        town.begin(12)
        town.wait_ended()

    assert worker.code is None
    town.check()
    assert [releases(node) for node in kafka.nodes] == [["4.3.1", "4.4.0"]] * 3
