"""The next due timers in memory, so that the loop need not ask the disk at each turn.

Scanning a store past the graves of fired timers costs milliseconds; a window of the earliest
ones, complete up to a horizon, makes a scan rare and lets it start behind the graves.

Most timers are disarmed long before they are due. So the window is a heap, in which a new timer finds
its place among the latest at once, and the disarmed ones stay until they come to its top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush

from orchestrator.core.state import Timer

WINDOW_COUNT_MAX = 2_000
"""Armed timers kept in memory, about 300 kB a shard; half of it is read at a time."""

Scan = Callable[[Timer | None, int], list[Timer]]
"""`scan(after, count)`: the first `count` timers on disk beyond `after` (None: from the first)."""


class TimerWindow:
    """The earliest timers of a store. `scan` must see what was added and removed before."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._heap: list[Timer] = []
        """Every armed timer of the window, and some that were disarmed or are there twice."""
        self._armed: set[Timer] = set()
        self._last: Timer | None = None
        self._whole = False
        self._fill()

    def add(self, timers: Iterable[Timer]) -> None:
        """Take note of timers that were armed."""
        armed, heap = self._armed, self._heap
        for timer in timers:
            if self._whole or (self._last is not None and timer <= self._last):
                armed.add(timer)
                heappush(heap, timer)
        if len(armed) > WINDOW_COUNT_MAX:
            self._keep(sorted(armed)[: WINDOW_COUNT_MAX // 2])
            self._last = self._heap[-1]
            self._whole = False
        elif len(heap) > 2 * WINDOW_COUNT_MAX:
            self._keep(sorted(armed))

    def remove(self, timers: Iterable[Timer]) -> None:
        """Take note of timers that were disarmed."""
        self._armed.difference_update(timers)

    def forget(self) -> None:
        """Know nothing any more, until somebody asks: many timers come and go by other ways."""
        self._heap, self._armed, self._last, self._whole = [], set(), None, False

    def due(self, now_ms: int, limit: int) -> tuple[Timer, ...]:
        """At most `limit` timers with `due_ms <= now_ms`, the earliest first."""
        found: list[Timer] = []
        while len(found) < limit:
            timer = self.first()
            if timer is None or timer.due_ms > now_ms:
                break
            heappop(self._heap)
            if not found or found[-1] != timer:
                found.append(timer)
        for timer in found:  # they are armed until they are removed
            heappush(self._heap, timer)
        return tuple(found)

    def first(self) -> Timer | None:
        """The earliest timer."""
        heap, armed = self._heap, self._armed
        while heap and heap[0] not in armed:
            heappop(heap)
        if not heap and not self._whole:
            self._fill()
        return heap[0] if heap else None

    def _keep(self, timers: list[Timer]) -> None:
        """Let the window be these, which are sorted."""
        self._heap[:] = timers
        self._armed = set(timers)

    def _fill(self) -> None:
        """Read on from where the window ends."""
        wanted = WINDOW_COUNT_MAX // 2
        found = self._scan(self._last, wanted)
        self._heap += found  # later than all that are there: still a heap
        self._armed.update(found)
        self._whole = len(found) < wanted
        if found:
            self._last = found[-1]
