"""How often a command is sent again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from orchestrator.core.definition import RetryPolicy
from orchestrator.definition.durations import milliseconds, minutes, seconds

FIRST = seconds(1)
CAP = minutes(1)


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how fast a command is sent again; the pauses grow and are jittered."""

    attempts: int | None = 5
    """Sendings in all, the first included. None: for ever."""
    first: timedelta = FIRST
    """The pause before the second sending."""
    factor: float = 2
    """Each further pause is so many times the one before."""
    cap: timedelta = CAP
    """No pause is longer."""

    @classmethod
    def forever(
        cls, *, first: timedelta = FIRST, factor: float = 2, cap: timedelta = CAP
    ) -> Retry:
        """Never give up; the pause between two sendings stops growing at `cap`."""
        return cls(None, first, factor, cap)

    @property
    def policy(self) -> RetryPolicy:
        """The same for the core, in ms."""
        return RetryPolicy(
            self.attempts, milliseconds(self.first), float(self.factor), milliseconds(self.cap)
        )

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with these figures."""
        found = []
        if self.attempts is not None and self.attempts < 1:
            found.append(f"`attempts` is {self.attempts}, which is less than 1")
        if self.first < timedelta(0) or self.cap < timedelta(0):
            found.append("a pause is negative")
        if not (math.isfinite(self.factor) and self.factor >= 1):
            found.append(f"`factor` is {self.factor}, which is not a number of at least 1")
        return tuple(found)
