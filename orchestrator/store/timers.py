"""The next due timers in memory, so that the loop need not ask the disk at each turn.

Scanning a store past the graves of fired timers costs milliseconds; a window of the earliest
ones, complete up to a horizon, makes a scan rare and lets it start behind the graves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from orchestrator.core.state import Timer

WINDOW_COUNT_MAX = 2_000
"""Timers kept in memory, about 200 kB a shard; half of it is read at a time."""

Scan = Callable[[Timer | None, int], list[Timer]]
"""`scan(after, count)`: the first `count` timers on disk beyond `after` (None: from the first)."""


class TimerWindow:
    """The earliest timers of a store, sorted. `scan` must see what was added and removed before."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._timers: list[Timer] = []
        self._last: Timer | None = None
        self._whole = False
        self._fill()

    def add(self, timers: Iterable[Timer]) -> None:
        """Take note of timers that were armed."""
        last = self._last
        if self._whole:
            for timer in timers:
                self._insert(timer)
        elif last is not None:
            for timer in timers:
                if timer <= last:
                    self._insert(timer)
        if len(self._timers) > WINDOW_COUNT_MAX:
            del self._timers[WINDOW_COUNT_MAX // 2 :]
            self._last = self._timers[-1]
            self._whole = False

    def remove(self, timers: Iterable[Timer]) -> None:
        """Take note of timers that were disarmed."""
        for timer in timers:
            index = bisect_left(self._timers, timer)
            if index < len(self._timers) and self._timers[index] == timer:
                del self._timers[index]

    def due(self, now_ms: int, limit: int) -> tuple[Timer, ...]:
        """At most `limit` timers with `due_ms <= now_ms`, the earliest first."""
        now = Timer(now_ms + 1, "", 0)
        while (count := bisect_left(self._timers, now)) == len(self._timers) < limit:
            if self._whole:
                break
            self._fill()
        return tuple(self._timers[: min(count, limit)])

    def first(self) -> Timer | None:
        """The earliest timer."""
        if not self._timers and not self._whole:
            self._fill()
        return self._timers[0] if self._timers else None

    def _insert(self, timer: Timer) -> None:
        index = bisect_left(self._timers, timer)
        if index == len(self._timers) or self._timers[index] != timer:
            self._timers.insert(index, timer)

    def _fill(self) -> None:
        """Read on from where the window ends."""
        wanted = WINDOW_COUNT_MAX // 2
        found = self._scan(self._last, wanted)
        self._timers += found
        self._whole = len(found) < wanted
        if found:
            self._last = found[-1]
