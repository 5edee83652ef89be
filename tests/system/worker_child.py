"""A worker in a process of its own, to be killed by tests. Arguments: one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import ClassVar

from orchestrator import modules
from orchestrator.errors import Doubtful, MustAbort
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink
from orchestrator.observability import log
from orchestrator.runtime import main as wiring
from orchestrator.runtime.settings import StandbySettings, WorkerSettings
from orchestrator.runtime.signals import StopRequest
from orchestrator.topics import Topics


class FaultySink(TransactionalSink):
    """The real producer, some of whose commits are not what they seem.

    `lost` n: of every n commits that went through, one is reported as doubtful. `refused` n: of
    every n, one is not even asked for. `poison` text: a transaction with a record whose key begins
    so is always refused.
    """

    faults: ClassVar[dict[str, object]] = {}

    def begin(self):
        super().begin()
        self.poisoned = False

    def send_all(self, records):
        poison = self.faults.get("poison")
        for record in records:
            is_poison = poison is not None and record.key.startswith(poison.encode())
            self.poisoned |= is_poison and not record.topic.endswith("dead-letters")
        super().send_all(records)

    def commit(self):
        self.commits = getattr(self, "commits", 0) + 1
        if self.poisoned:
            raise MustAbort("poison")
        if self.commits % self.faults.get("refused", 1_000_000) == 0:
            raise MustAbort("planted")
        offsets = super().commit()
        if self.commits % self.faults.get("lost", 1_000_000) == 0:
            raise Doubtful("planted")
        return offsets


def main() -> None:
    asked = json.loads(sys.argv[1])
    log.configure("info")
    stop = StopRequest()
    FaultySink.faults = asked["faults"]
    if FaultySink.faults:
        wiring.TransactionalSink = FaultySink
    wiring.run_worker(
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
        topics=Topics(asked["prefix"]),
        standby=StandbySettings(**{"standbys": 0, **asked.get("standby", {})}),
        standby_command=standby_command(asked),
    )


def standby_command(asked):
    flags = {
        "bootstrap-servers": asked["bootstrap_servers"],
        "prefix": asked["prefix"],
        "data-dir": asked["data_dir"],
        "instance": asked["ordinal"],
        **{name.replace("_", "-"): value for name, value in asked.get("standby", {}).items()},
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "orchestrator", "standby", *words]


if __name__ == "__main__":
    main()
