"""Where a worker's time goes, told while it runs.

The loop takes the time where one stage ends and the next begins: a few times a batch. What a batch is
made of (decode, decide, encode) is told apart in one transaction of many only, as that takes the time
three times an input; the others are split alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

SAMPLED_EVERY = 16
"""Transactions to one whose inputs are timed one by one. Together it all costs under 1 %."""
INSIDE = ("decode", "decide", "encode")
"""Stages of an input."""


class Laps:
    """Time by stage, in ns: each lap ends a stage and begins the next."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        """`clock_ns` never runs back."""
        self.spent_ns: Counter[str] = Counter()
        self._clock_ns = clock_ns
        self._last_ns = clock_ns()

    def begin(self) -> None:
        """What was until now belongs to no stage."""
        self._last_ns = self._clock_ns()

    def lap(self, stage: str) -> None:
        """What was since the last lap belongs to `stage`."""
        now_ns = self._clock_ns()
        self.spent_ns[stage] += now_ns - self._last_ns
        self._last_ns = now_ns


class Stages:
    """The stages of one worker's loop."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        """Begin now."""
        self.loop = Laps(clock_ns)
        self._inside = Laps(clock_ns)
        self._count = 0

    def sample(self) -> Laps | None:
        """For a new transaction: what times its inputs one by one, if it is one that is sampled."""
        self._count += 1
        return self._inside if self._count % SAMPLED_EVERY == 0 else None

    def values_ms(self) -> dict[str, int]:
        """Milliseconds by stage since the start.

        `drain`, `decode`, `decide`, `encode`, `produce`, `wait` (for a commit), `store`, `rest`: the
        loop's, one after another. `commit` runs beside them.
        """
        found_ns: dict[str, int] = dict(self.loop.spent_ns)
        work_ns, inside = found_ns.pop("work", 0), self._inside.spent_ns
        total_ns = sum(inside[stage] for stage in INSIDE)
        for stage in INSIDE:
            found_ns[stage] = work_ns * inside[stage] // total_ns if total_ns else work_ns // 3
        return {stage: ns // 1_000_000 for stage, ns in sorted(found_ns.items())}
