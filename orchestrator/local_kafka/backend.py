"""Where a node's Java runs: the one seam between a process of this machine and a container."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from orchestrator.local_kafka.jars import BROKER_LOCK, fetch
from orchestrator.local_kafka.java import find_java
from orchestrator.local_kafka.process import GuardedProcess
from orchestrator.local_kafka.progress import OnProgress
from orchestrator.local_kafka.settings import Node

# Measured: one broker is idle in 150 MB and runs our whole test suite in 512; serial collection
# starts fastest and leaves the other cores alone.
JVM_OPTIONS = ("-XX:+UseSerialGC", "-Xmx512m", "-Xshare:auto", "-Djava.awt.headless=true")


class Handle(Protocol):
    """One running Java program."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        ...

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; raises `subprocess.TimeoutExpired` if it still runs."""
        ...

    def stop(self, grace_s: float) -> None:
        """SIGTERM, then SIGKILL after `grace_s` seconds; returns when it is gone."""
        ...

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        ...


class Backend(Protocol):
    """A place for Java programs."""

    def prepare(self, on_progress: OnProgress) -> None:
        """Fetch or build what `launch` needs. Raises LocalKafkaError."""
        ...

    def launch(self, node: Node, arguments: tuple[str, ...], thrown_away: Path | None) -> Handle:
        """Run `java` with Kafka's class path; `thrown_away` is deleted if we die without a stop."""
        ...


class ProcessBackend:
    """Java processes of this machine."""

    def __init__(self) -> None:
        self._java: Path | None = None
        self._class_path = ""

    def prepare(self, on_progress: OnProgress) -> None:
        """Find Java and fetch the jars."""
        self._java = find_java()
        self._class_path = ":".join(map(str, fetch(BROKER_LOCK, on_progress)))

    def launch(self, node: Node, arguments: tuple[str, ...], thrown_away: Path | None) -> Handle:
        """Start one guarded process."""
        command = [str(self._java), *JVM_OPTIONS, "-cp", self._class_path, *arguments]
        return GuardedProcess(command, node.output_path, thrown_away)
