"""A worker in a process of its own, to be killed by tests. Arguments: one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from orchestrator import modules
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionSettings
from orchestrator.observability import log
from orchestrator.runtime.main import run_worker
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.runtime.signals import StopRequest
from orchestrator.topics import Topics


def main() -> None:
    asked = json.loads(sys.argv[1])
    log.configure("info")
    stop = StopRequest()
    run_worker(
        modules.load(asked["modules"]),
        WorkerSettings(
            group=asked["prefix"],
            ordinal=asked["ordinal"],
            data_dir=Path(asked["data_dir"]),
            report_interval_ms=2_000,
            **asked.get("settings", {}),
        ),
        KafkaSettings(bootstrap_servers=asked["bootstrap_servers"]),
        stop,
        transactions=TransactionSettings(**asked.get("transactions", {})),
        topics=Topics(asked["prefix"]),
    )


if __name__ == "__main__":
    main()
