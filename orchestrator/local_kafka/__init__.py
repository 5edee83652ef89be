"""A real Apache Kafka on this machine, from nothing but Python: for development and tests.

>>> with LocalKafka() as kafka:                                              # doctest: +SKIP
...     print(kafka.bootstrap_servers)
"""

from __future__ import annotations

from orchestrator.local_kafka.cluster import LocalKafka
from orchestrator.local_kafka.progress import OnProgress, Phase, Progress, shown_progress
from orchestrator.local_kafka.settings import Node

__all__ = ["LocalKafka", "Node", "OnProgress", "Phase", "Progress", "shown_progress"]
