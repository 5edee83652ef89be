"""Java programs as child processes that never outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka.guardian import __file__ as _GUARDIAN  # noqa: N812


class GuardedProcess:
    """A running command under its guardian (see `guardian.py`)."""

    def __init__(
        self,
        command: list[str],
        log: Path,
        *,
        class_path: str = "",
        thrown_away: Path | None = None,
    ) -> None:
        """Start `command` with its output appended to `log`.

        Args:
            command: The program and its arguments.
            log: File for its stdout and stderr.
            class_path: For Java; in the environment, where it does not clutter process lists.
            thrown_away: Directory to delete should this process die without stopping it.
        """
        guardian = [sys.executable, "-I", "-S", _GUARDIAN, str(log), str(thrown_away or "")]
        self._guardian = subprocess.Popen(  # noqa: S603 - our own program
            [*guardian, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "CLASSPATH": class_path},
            start_new_session=True,  # Ctrl-C in a terminal is for us, who then stop it in order
        )
        pipe = self._guardian.stdout
        line = pipe.readline() if pipe else b""
        if not line.strip().isdigit():
            self._guardian.wait()
            self._close()
            raise LocalKafkaError(f"{command[0]} cannot be started: see {log}")
        self.pid = int(line)
        """Process id of the command itself."""

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._guardian.poll()

    def wait(self, timeout_s: float) -> int:
        """Wait for the end; the exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs.
        """
        code = self._guardian.wait(timeout_s)
        self._close()
        return code

    def terminate(self) -> None:
        """SIGTERM; returns at once."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._signal(signal.SIGKILL)
        self._guardian.wait()
        self._close()

    def _signal(self, number: signal.Signals) -> None:
        # The guardian reaps its child and ends in one go, so a live guardian means a valid id.
        if self.exit_code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _close(self) -> None:
        for pipe in (self._guardian.stdin, self._guardian.stdout):
            if pipe:
                pipe.close()
