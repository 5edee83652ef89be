"""A real Apache Kafka on this machine, from nothing but Python: for development and tests.

::

    with LocalKafka() as kafka:
        print(kafka.bootstrap_servers)
"""

from __future__ import annotations

from orchestrator.local_kafka.cluster import LocalKafka
from orchestrator.local_kafka.progress import OnProgress, Phase, Progress, shown_progress
from orchestrator.local_kafka.registry import LocalRegistry
from orchestrator.local_kafka.settings import Node
from orchestrator.local_kafka.tools import run_tool

__all__ = [
    "LocalKafka",
    "LocalRegistry",
    "Node",
    "OnProgress",
    "Phase",
    "Progress",
    "run_tool",
    "shown_progress",
]
