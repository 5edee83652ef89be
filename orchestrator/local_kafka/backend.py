"""Where a node's Java runs: the one seam between a process of this machine and a container."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from orchestrator.local_kafka.jars import BROKER_LOCK, fetch
from orchestrator.local_kafka.java import find_java
from orchestrator.local_kafka.process import GuardedProcess
from orchestrator.local_kafka.progress import OnProgress

# A broker of ours needs 150 MB idle and stays within 512 under the whole test suite; serial
# collection starts fastest and leaves the other cores alone.
BROKER_OPTIONS = ("-XX:+UseSerialGC", "-Xmx512m")
# A program that lives for a second gains nothing from the optimising compiler: 0.3 s less.
TOOL_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class Handle(Protocol):
    """One running Java program."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        ...

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired` if it still runs."""
        ...

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        ...

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        ...


class Backend(Protocol):
    """A place for Java programs."""

    def prepare(self, on_progress: OnProgress) -> None:
        """Fetch or build what `launch` needs. Raises LocalKafkaError."""
        ...

    def launch(
        self, name: str, arguments: tuple[str, ...], output: Path, thrown_away: Path | None
    ) -> Handle:
        """Run `java` with Kafka's class path.

        Args:
            name: Whose program it is, such as "node 1".
            arguments: Options, main class and its arguments. Paths lie beside `output`.
            output: File for what it prints.
            thrown_away: Directory to delete should we die without stopping it.
        """
        ...


class ProcessBackend:
    """Java processes of this machine."""

    def __init__(self, lock: str | Path = BROKER_LOCK) -> None:
        """Take the jars that a lock names."""
        self._lock = lock
        self._java: Path | None = None
        self._class_path = ""

    def prepare(self, on_progress: OnProgress) -> None:
        """Find Java and fetch the jars."""
        self._java = find_java()
        self._class_path = ":".join(map(str, fetch(self._lock, on_progress)))

    def launch(
        self, name: str, arguments: tuple[str, ...], output: Path, thrown_away: Path | None
    ) -> Handle:
        """Start one guarded process."""
        del name
        return GuardedProcess(
            [str(self._java), *arguments],
            output,
            class_path=self._class_path,
            thrown_away=thrown_away,
        )


def stop_all(handles: Iterable[Handle], grace_s: float) -> None:
    """SIGTERM to all together, SIGKILL to those that still run after `grace_s` seconds.

    Together, since the last node of a quorum cannot end in an orderly way without the others.
    """
    handles = tuple(handles)
    for handle in handles:
        handle.terminate()
    deadline = time.monotonic() + grace_s
    for handle in handles:
        try:
            handle.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            handle.kill()
