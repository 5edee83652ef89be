"""The demo's client: keeps so many bookings open until all have ended, and takes the time."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice

from demo.bookings import Booking
from orchestrator.client import Client
from orchestrator.codec.records import Outcome

RATE_WINDOW_S = 3.0
LATENCIES_KEPT = 20_000


class Traffic:
    """Starts bookings and counts how they end."""

    def __init__(self, client: Client, bookings: Iterable[Booking], open_max: int) -> None:
        """`open_max` bookings are under way at any time; more start as others end."""
        self._client = client
        self._bookings: Iterator[Booking] = iter(bookings)
        self._open_max = open_max
        self._begun_s: dict[str, float] = {}
        self._ends: deque[float] = deque()
        self.acknowledged: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self.doubled: set[str] = set()
        self.latencies_s: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.first_end_after: dict[float, float] = {}
        self.exhausted = False
        self._ended: set[str] = set()

    @property
    def open_count(self) -> int:
        """Bookings that are under way."""
        return len(self._begun_s)

    @property
    def ended_count(self) -> int:
        """Bookings that have ended."""
        return len(self._ended)

    def begin_more(self) -> None:
        """Start as many as there is room for; returns when Kafka has acknowledged all of them."""
        batch = list(islice(self._bookings, self._open_max - self.open_count))
        if not batch:
            self.exhausted = self.exhausted or self.open_count < self._open_max
            return
        now_s = time.monotonic()
        self._begun_s.update((booking.saga_id, now_s) for booking in batch)
        self._client.start_many(
            ((booking.saga_id, booking.start) for booking in batch),
            lambda receipt: self.acknowledged.add(receipt.saga),
        )

    def end(self, outcome: Outcome) -> None:
        """Take note of one outcome."""
        now_s = time.monotonic()
        begun_s = self._begun_s.pop(outcome.saga, None)
        if outcome.saga in self._ended:
            self.doubled.add(outcome.saga)
            return
        self._ended.add(outcome.saga)
        self.outcomes[outcome.business] += 1
        self._ends.append(now_s)
        if begun_s is not None:
            self.latencies_s.append(now_s - begun_s)

    def rate(self) -> float:
        """Ends a second, over the last few seconds."""
        now_s = time.monotonic()
        while self._ends and self._ends[0] < now_s - RATE_WINDOW_S:
            self._ends.popleft()
        return len(self._ends) / RATE_WINDOW_S

    def percentile_ms(self, share: float) -> float:
        """How long that share of the bookings took at most, in ms; 0 before the first end."""
        if not self.latencies_s:
            return 0.0
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1_000
