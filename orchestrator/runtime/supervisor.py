"""Keeps worker processes running: restarts a dead one under its own id, passes a stop on.

A process that comes back under its own id has its shards again in a tenth of a second; another
worker would inherit them only after the session has expired.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from types import FrameType

from orchestrator.observability.log import Log

BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 10.0
"""A worker that cannot run must not keep a machine busy with starting it."""
HEALTHY_S = 30.0
"""Who ran so long begins again with the shortest pause."""
STOP_S = 30.0
"""Longest wait for a clean stop, before processes are killed. A transaction takes a third of it at
most."""
_TICK_S = 0.05

Spawn = Callable[[int], "subprocess.Popen[bytes]"]


def backoff_s(failures_count: int) -> float:
    """Pause before the next start, after so many quick deaths in a row."""
    return float(min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures_count, 16)))


class _Child:
    def __init__(self, ordinal: int) -> None:
        self.ordinal = ordinal
        self.process: subprocess.Popen[bytes] | None = None
        self.started_s = 0.0
        self.start_again_s = 0.0
        self.failures_count = 0


class Supervisor:
    """Runs one process for each ordinal. `spawn(ordinal)` starts one."""

    def __init__(self, ordinals: Sequence[int], spawn: Spawn, log: Log) -> None:
        self._children = [_Child(ordinal) for ordinal in ordinals]
        self._spawn = spawn
        self._log = log
        self._stops_count = 0

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; give 0 if all then stopped cleanly, 1 if not.

        A second signal kills what still runs. Call it in the main thread.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:
            while not self._stops_count:
                for child in self._children:
                    self._tend(child)
                time.sleep(_TICK_S)
            return self._stop()
        finally:
            self._signal(signal.SIGKILL)

    def _tend(self, child: _Child) -> None:
        now_s = time.monotonic()
        if child.process is None:
            if now_s >= child.start_again_s:
                child.process, child.started_s = self._spawn(child.ordinal), now_s
            return
        code = child.process.poll()
        if code is None:
            return
        healthy = now_s - child.started_s >= HEALTHY_S
        child.failures_count = 0 if healthy else child.failures_count + 1
        pause_s = backoff_s(child.failures_count - 1 if child.failures_count else 0)
        child.process, child.start_again_s = None, now_s + pause_s
        self._log.warning("worker_died", ordinal=child.ordinal, code=code, pause_s=pause_s)

    def _stop(self) -> int:
        self._signal(signal.SIGTERM)
        deadline_s = time.monotonic() + STOP_S
        while self._alive() and time.monotonic() < deadline_s and self._stops_count < 2:
            time.sleep(_TICK_S)
        return int(
            any(child.process is not None and child.process.poll() for child in self._children)
            or bool(self._alive())
        )

    def _alive(self) -> list[subprocess.Popen[bytes]]:
        found = (child.process for child in self._children)
        return [process for process in found if process is not None and process.poll() is None]

    def _signal(self, number: signal.Signals) -> None:
        for process in self._alive():
            process.send_signal(number)

    def _on_signal(self, _: int, __: FrameType | None) -> None:
        self._stops_count += 1
