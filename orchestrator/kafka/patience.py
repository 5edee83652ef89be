"""How long a step of a transaction may take before it is in doubt."""

from __future__ import annotations

_LEARNING = 4
"""In so many transactions a network is known whose steps always take as long as would be in doubt at
first. What it took once must not count as usual."""


class Patience:
    """A set time more than steps usually take; what is usual, the last transactions show.

    Far from its brokers a transaction with many partitions takes a second of round trips and nothing
    is wrong. What is usual rises little by little, and falls at once.
    """

    def __init__(self, doubt_ms: float) -> None:
        """Begin as beside the brokers: usually a step takes no time."""
        self._doubt_ms = doubt_ms
        self._usual_ms = 0.0

    @property
    def limit_ms(self) -> float:
        """From here a step is in doubt."""
        return self._usual_ms + self._doubt_ms

    def took(self, slowest_ms: float) -> None:
        """Take note of a transaction's slowest step, were it in doubt or not."""
        self._usual_ms = min(slowest_ms, self._usual_ms + self._doubt_ms / _LEARNING)
