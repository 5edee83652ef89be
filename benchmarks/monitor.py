"""CPU and memory of the processes that take part, by role."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Self

import psutil

_SAMPLE_S = 0.5
_QUIET_S, _QUIET_PERCENT = 2.0, 12.0
"""So long at a time, so much of the machine may be used by whatever it is."""


class Monitor:
    """Measures roles (name to process ids, their children included) while a `with` block runs."""

    def __init__(self, roles: Mapping[str, Sequence[int]]) -> None:
        """Look at these; a process that is gone counts nothing."""
        self._trees = {
            role: [p for pid in pids for p in _tree(pid)] for role, pids in roles.items()
        }
        self._peak_bytes: Counter[str] = Counter()
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._before_s: dict[str, float] = {}
        self._cpu_s: dict[str, float] = {}
        self._machine: tuple[float, float] = (0.0, 0.0)
        self._noise: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._before_s, self._machine = self._cpu(), _machine_s()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        after_s, machine = self._cpu(), _machine_s()
        self._cpu_s = {role: after_s[role] - before for role, before in self._before_s.items()}
        busy_s, all_s = (now - before for now, before in zip(machine, self._machine, strict=True))
        ours_s = sum(self._cpu_s.values())
        self._noise = {
            "machine_busy_share": round(busy_s / all_s, 3) if all_s else 0.0,
            "other_cpu_share": round(max(0.0, busy_s - ours_s) / all_s, 3) if all_s else 0.0,
            "load_1min": round(os.getloadavg()[0], 2),
        }
        self._halt.set()
        self._thread.join()
        self._measure_memory()

    def figures(self, sagas_count: int) -> dict[str, Any]:
        """Give the fields of a result, for so many sagas."""
        return {
            "cpu_ms_per_saga": {
                role: round(cpu_s * 1e3 / sagas_count, 4) for role, cpu_s in self._cpu_s.items()
            },
            "peak_rss_mb": {
                role: round(peak / 2**20, 1) for role, peak in self._peak_bytes.items()
            },
            "noise": self._noise,
        }

    def _cpu(self) -> dict[str, float]:
        return {role: sum(map(_cpu_s, tree)) for role, tree in self._trees.items()}

    def _sample(self) -> None:
        while not self._halt.wait(_SAMPLE_S):
            self._measure_memory()

    def _measure_memory(self) -> None:
        for role, tree in self._trees.items():
            self._peak_bytes[role] = max(self._peak_bytes[role], sum(map(_rss_bytes, tree)))


class Others:
    """How much of the machine processes took that are not ours, while a `with` block ran.

    Ours are this process, what it has started and waited for in the block, and its broker.
    """

    share = 0.0

    def __enter__(self) -> Self:
        self._before = (*_machine_s(), _ours_s())
        return self

    def __exit__(self, *_: object) -> None:
        now = (*_machine_s(), _ours_s())
        busy_s, all_s, ours_s = (b - a for a, b in zip(self._before, now, strict=True))
        self.share = round(max(0.0, busy_s - ours_s) / all_s, 3) if all_s else 0.0


def await_quiet(patience_s: float) -> float:
    """Wait until the machine has little to do, or patience ends; give how long it took, in s."""
    began_s = time.monotonic()
    while (waited_s := time.monotonic() - began_s) < patience_s:
        if psutil.cpu_percent(_QUIET_S) < _QUIET_PERCENT:
            break
    return round(waited_s, 1)


def rss_mb(pid: int) -> float:
    """Memory of a process and its children just now, in MB."""
    return round(sum(map(_rss_bytes, _tree(pid))) / 2**20, 1)


def cpu_s(pid: int) -> float:
    """CPU that a process and its children have used, in s."""
    return sum(map(_cpu_s, _tree(pid)))


def broker_pids() -> list[int]:
    """Find the Java processes that this process has started."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "java" in child.name()]


def _ours_s() -> float:
    times = os.times()
    ended_s = times.user + times.system + times.children_user + times.children_system
    return ended_s + sum(cpu_s(pid) for pid in broker_pids())


def _tree(pid: int) -> list[psutil.Process]:
    if pid == os.getpid():
        return [psutil.Process()]  # our children have roles of their own
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _cpu_s(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _machine_s() -> tuple[float, float]:
    times = psutil.cpu_times()
    idle_s = times.idle + getattr(times, "iowait", 0.0)
    extra_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    total_s = sum(times) - extra_s
    return total_s - idle_s, total_s
