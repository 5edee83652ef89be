"""Where a worker's time goes, told while it runs.

The loop takes the time where one stage ends and the next begins: a few times a batch, under 1 % of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Stages:
    """Time by stage, in ns: each lap ends a stage and begins the next."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        """Begin now. `clock_ns` never runs back."""
        self.spent_ns: Counter[str] = Counter()
        self._clock_ns = clock_ns
        self._last_ns = clock_ns()

    def lap(self, stage: str) -> None:
        """What was since the last lap belongs to `stage`."""
        now_ns = self._clock_ns()
        self.spent_ns[stage] += now_ns - self._last_ns
        self._last_ns = now_ns

    def values_ms(self) -> dict[str, int]:
        """Milliseconds by stage since the start.

        `drain`, `decode`, `decide`, `encode`, `produce`, `wait` (for a commit), `store`, `rest`: the
        loop's, one after another. `commit` runs beside them.
        """
        return {stage: ns // 1_000_000 for stage, ns in sorted(self.spent_ns.items())}
