"""One fresh installation on a broker: topics, a worker, participants; started as a user would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka.admin import AdminClient

from benchmarks.trip import RUN_VARIABLE, participant_name
from orchestrator.errors import TimedOut
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.topics import Topics, TopicSettings, apply, plan, specs

STOP_S_MAX = 30.0
READY_S_MAX = 60.0
_LOOK_S = 0.005
_LOG_SHOWN_CHARS = 800


class Installation:
    """Topics and processes of one run. A context manager: at the end nothing of it is left."""

    def __init__(
        self,
        kafka: KafkaSettings,
        folder: Path,
        *,
        run: str,
        participants: Sequence[str],
        silent: Sequence[str] = (),
        modules: str = "benchmarks.trip",
        partitions: int = 4,
        replication: int = 1,
        workers: int = 1,
        worker_arguments: Sequence[str] = (),
    ) -> None:
        """Describe it.

        `run` keeps it apart from others on the same broker. `silent` participants have topics, but
        `start` does not start them.
        """
        self.run = run
        self.kafka = kafka
        self.folder = folder
        self.partitions = partitions
        self.topics = Topics(f"bench-{run}")
        self._replication = replication
        self._serving = tuple(participants)
        self._names = tuple(participant_name(run, name) for name in (*participants, *silent))
        self._modules = modules
        self._workers = workers
        self._worker_arguments = tuple(worker_arguments)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        profile = "production" if self._replication > 1 else "development"
        settings = TopicSettings(partitions=self.partitions, profile=profile)
        apply(KafkaAdmin(self.kafka), plan(specs(self.topics, self._names, settings), {}))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        wanted = (f"{self.topics.prefix}.", *(f"{name}." for name in self._names))
        delete_topics(self.kafka, wanted)

    @property
    def participants(self) -> tuple[str, ...]:
        """Full names of the participants, the silent ones too."""
        return self._names

    @property
    def ledgers(self) -> Path:
        """Where the participants' ledgers lie."""
        return self.folder / "ledgers"

    def start(self) -> None:
        """Start worker and participants; returns when the worker is ready."""
        for number in range(self._workers):
            self.start_worker(number)
        for name in self._serving:
            self.start_participant(name)
        for number in range(self._workers):
            self.await_log(f"worker-{number}", "worker_ready")

    def start_worker(self, number: int = 0, *arguments: str) -> None:
        """Start one worker process, with further arguments."""
        stores = ("--data-dir", str(self.folder / "stores"), "--instance", str(number))
        own = (*self._worker_arguments, *arguments)
        self._spawn(f"worker-{number}", "worker", *stores, *own)

    def start_participant(self, name: str) -> None:
        """Start one participant's process."""
        full = participant_name(self.run, name)
        self._spawn(name, "participant", full, "--ledger-directory", str(self.ledgers))

    def pids(self, role: str) -> list[int]:
        """Process ids of `worker` or `participants`."""
        is_worker = role == "worker"
        return [
            process.pid
            for name, process in self._processes.items()
            if name.startswith("worker-") == is_worker
        ]

    def log(self, name: str) -> list[dict[str, Any]]:
        """Give what a process has logged."""
        path = self.folder / f"{name}.log"
        lines = path.read_text("utf-8", "replace").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def await_log(self, name: str, event: str) -> None:
        """Wait until a process has logged an event.

        Raises:
            TimedOut: It has ended, or did not in time; the text has the end of its log.
        """
        until_s = time.monotonic() + READY_S_MAX
        while not any(line.get("event") == event for line in self.log(name)):
            ended = self._processes[name].poll() is not None
            if ended or time.monotonic() > until_s:
                written = (self.folder / f"{name}.log").read_text("utf-8", "replace")
                raise TimedOut("not_ready", f"{name}: no {event}: {written[-_LOG_SHOWN_CHARS:]}")
            time.sleep(_LOOK_S)

    def stop(self, name: str | None = None) -> None:
        """Tell one process, or all, to finish, and wait.

        Raises:
            TimedOut: One did not end well.
        """
        names = list(self._processes) if name is None else [name]
        for each in names:
            if self._processes[each].poll() is None:
                self._processes[each].send_signal(signal.SIGTERM)
        failed = [each for each in names if self._finish(self._processes.pop(each))]
        if failed and sys.exc_info()[0] is None:
            written = (self.folder / f"{failed[0]}.log").read_text("utf-8", "replace")
            raise TimedOut("not_stopped", f"{failed}: {written[-_LOG_SHOWN_CHARS:]}")

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a process a signal."""
        self._processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def revive(self) -> int:
        """Start again what has ended by itself, as a supervisor does; give how many."""
        ended = [name for name, process in self._processes.items() if process.poll() is not None]
        for name in ended:
            self._spawn(name, *self._commands[name])
        return len(ended)

    def worker_counters(self) -> dict[str, Any]:
        """Give what the workers counted, summed; once they have stopped."""
        found: dict[str, Any] = {}
        for number in range(self._workers):
            stopped = [x for x in self.log(f"worker-{number}") if x["event"] == "worker_stopped"]
            for key, value in (stopped[-1] if stopped else {}).items():
                if isinstance(value, int):
                    found[key] = found.get(key, 0) + value
                elif isinstance(value, dict):
                    found[key] = {**found.get(key, {}), **value}
        return found

    def _spawn(self, name: str, *arguments: str) -> None:
        self._commands[name] = arguments
        words = ["-m", "orchestrator", *arguments, "--modules", self._modules]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, *words, "--prefix", self.topics.prefix],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parent.parent,
                env={
                    **os.environ,
                    RUN_VARIABLE: self.run,
                    "SAGA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
                    "SAGA_SUPERVISOR": str(os.getpid()),  # nothing is left behind if we are killed
                },
                start_new_session=True,
            )

    def _finish(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return 1


def delete_topics(kafka: KafkaSettings, prefixes: tuple[str, ...]) -> None:
    """Delete every topic whose name begins with one of these: the next run must not pay for it."""
    admin = AdminClient(dict(kafka.to_librdkafka()))
    names = [name for name in admin.list_topics(timeout=15).topics if name.startswith(prefixes)]
    futures: dict[str, Future[None]] = admin.delete_topics(names) if names else {}
    for future in futures.values():
        future.result()
