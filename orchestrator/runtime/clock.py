"""The two clocks of a worker: the calendar for sagas, the monotonic one for its own patience."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now_ms(self) -> int:
        """Wall clock, ms since the epoch. May jump; shards clamp it so that theirs never does."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; never runs back."""
        ...

    def monotonic_ns(self) -> int:
        """The same in ns."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall clock, ms since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since some moment before this process."""
        return time.monotonic()

    def monotonic_ns(self) -> int:
        """Nanoseconds since the same moment."""
        return time.monotonic_ns()
