"""How many commands a participant takes at once: more, while it mostly waits for round trips."""

from __future__ import annotations

USUAL_COUNT = 500
"""Commands a batch on a quick network: the ledger then costs 2 us a command, and more gain nothing."""
_ROUND_TRIP_S = 0.5
"""What takes longer is more than round trips: the network is narrow, and larger batches gain nothing."""


class Appetite:
    """Doubles while answers are longer on their way than they took to make; halves when not.

    So round trips take half of a participant's time at most, and behind slow handlers no answer
    waits for more others than the usual.
    """

    def __init__(self, count_max: int) -> None:
        """Begin with the usual."""
        self._count_max = count_max
        self._count_min = self.count = min(USUAL_COUNT, count_max)

    def fed(self, count: int, handling_s: float, sending_s: float) -> None:
        """Take note of a batch: its commands, and what its handlers and its answers took."""
        if not handling_s <= sending_s <= _ROUND_TRIP_S:
            self.count = max(self._count_min, self.count // 2)
        elif count >= self.count:
            self.count = min(2 * self.count, self._count_max)
