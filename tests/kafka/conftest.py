from __future__ import annotations

import pytest
from kafka_kit import Cluster


@pytest.fixture
def cluster(kafka, topic_prefix):
    cluster = Cluster(kafka.bootstrap_servers, topic_prefix)
    yield cluster
    cluster.close()
