"""`LocalRegistry`: a Confluent-compatible schema registry in memory, for tests."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.error import URLError

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka import probe
from orchestrator.local_kafka.backend import stop_all
from orchestrator.local_kafka.jars import REGISTRY_LOCK, fetch
from orchestrator.local_kafka.java import find_java
from orchestrator.local_kafka.process import GuardedProcess
from orchestrator.local_kafka.progress import OnProgress, silent
from orchestrator.local_kafka.settings import LOOPBACK, free_ports

_READY_TIMEOUT_S = 120.0
_STOP_GRACE_S = 5.0


class LocalRegistry:
    """Apicurio Registry 2.6 on a free port of the loopback interface. A context manager.

    It keeps schemas in memory only, and ends when this process ends, however that comes about.
    """

    def __init__(self, on_progress: OnProgress = silent) -> None:
        """Describe it; nothing happens before `start`."""
        self._on_progress = on_progress
        self._port = 0
        self._directory: Path | None = None
        self._process: GuardedProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """What a client's `schema.registry.url` wants."""
        return f"http://{LOOPBACK}:{self._port}/apis/ccompat/v7"

    def start(self) -> None:
        """Fetch it if it is missing, start it, return when it answers.

        Raises:
            LocalKafkaError: It cannot; the text says why.
        """
        (archive,) = fetch(REGISTRY_LOCK, self._on_progress)
        java = find_java()
        (self._port,) = free_ports(1)
        self._directory = Path(tempfile.mkdtemp(prefix="saga-registry-"))
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(self._directory, filter="data")
            (jar,) = self._directory.glob("*-runner.jar")
            options = (f"-Dquarkus.http.host={LOOPBACK}", f"-Dquarkus.http.port={self._port}")
            self._process = GuardedProcess(
                [str(java), "-XX:+UseSerialGC", "-Xmx512m", *options, "-jar", str(jar)],
                self._directory / "output.log",
                thrown_away=self._directory,
            )
            self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it and forget everything. Idempotent."""
        if self._process:
            stop_all([self._process], _STOP_GRACE_S)
            self._process = None
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _await_ready(self, process: GuardedProcess) -> None:
        deadline = time.monotonic() + _READY_TIMEOUT_S
        while not self._answers():
            if process.exit_code is not None or time.monotonic() > deadline:
                raise LocalKafkaError(f"The schema registry did not start:\n{self._output()}")
            probe.pause()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/subjects", timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (URLError, OSError):
            return False

    def _output(self) -> str:
        path = self._directory / "output.log" if self._directory else None
        return path.read_text(errors="replace")[-2000:] if path and path.exists() else ""
