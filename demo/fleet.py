"""The processes of the demo: started like a user would start them, and started again when one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from orchestrator.errors import ConfigurationError

STOP_S_MAX = 30.0
"""A worker or a participant that was told to stop finishes its batch; then patience ends."""


LOG_SHOWN_CHARS = 500


class Role(NamedTuple):
    """One process of the fleet."""

    name: str
    arguments: tuple[str, ...]
    """Of the `saga` command."""


class Death(NamedTuple):
    """A process that ended without being told to."""

    role: str
    pid: int
    at_ms: int
    """By the wall clock, as the timestamps of records are."""


class Fleet:
    """Some processes of one installation. Whatever dies is started again under its own identity."""

    def __init__(self, bootstrap_servers: str, folder: Path) -> None:
        """Prepare; `folder` takes logs, stores and ledgers."""
        self._folder = folder
        self._environment = {
            **os.environ,
            "SAGA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "SAGA_SUPERVISOR": str(os.getpid()),  # nothing is left behind if we are killed
        }
        self._roles: dict[str, Role] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.deaths: list[Death] = []

    def start(self, role: Role) -> None:
        """Start a process; its output goes to `<name>.log`."""
        self._roles[role.name] = role
        with (self._folder / f"{role.name}.log").open("ab") as log:
            self._running[role.name] = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "orchestrator", *role.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                # A Ctrl-C of the person at the terminal is the demo's to handle, in order.
                start_new_session=True,
            )

    def finish(self, name: str) -> None:
        """Wait for a process that ends by itself.

        Raises:
            ConfigurationError: It failed; the text is the end of what it wrote.
        """
        code = self._running.pop(name).wait()
        if code:
            written = (self._folder / f"{name}.log").read_text("utf-8", "replace")
            raise ConfigurationError(f"{name} failed: {written[-LOG_SHOWN_CHARS:]}")

    def pid(self, name: str) -> int:
        """The process that plays a role now."""
        return self._running[name].pid

    def kill(self, name: str) -> Death:
        """End a process as a power cut would."""
        process = self._running[name]
        death = Death(name, process.pid, time.time_ns() // 1_000_000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.deaths.append(death)
        return death

    def restart_dead(self) -> list[str]:
        """Start again whatever has ended; give the names."""
        dead = [name for name, process in self._running.items() if process.poll() is not None]
        for name in dead:
            self.start(self._roles[name])
        return dead

    def stop(self) -> list[str]:
        """Tell everything to finish; give the names of those that did not end well."""
        for process in self._running.values():
            if process.poll() is None:
                process.terminate()
        failed = []
        deadline_s = time.monotonic() + STOP_S_MAX
        for name, process in self._running.items():
            try:
                code = process.wait(max(0.1, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code:
                failed.append(name)
        self._running.clear()
        return failed
