"""In which order faults are drawn. Pure but for the given chance."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

ENCORES_MAX = 4
"""How often a fault is done again, alone, because it has left no mark."""


class Deck:
    """All faults, shuffled, again and again; from the second time on, first those without a mark."""

    def __init__(self, faults: Collection[str], chance: random.Random) -> None:
        self._faults = sorted(faults)
        self._chance = chance
        self._pile: list[str] = []
        self._encores: Counter[str] = Counter()

    def draw(self, unshown: Collection[str]) -> str:
        """The next one. `unshown` are those that have left no mark so far."""
        if not self._pile:
            self._pile = list(self._faults)
            self._chance.shuffle(self._pile)
            self._pile.sort(key=lambda name: name in unshown)  # taken from the end
        return self._pile.pop()

    def put_back(self, name: str) -> None:
        """It could not be done now: it is the last of this round."""
        self._pile.insert(0, name)

    def encore(self, unshown: Collection[str]) -> str | None:
        """Which one to do again alone; None: all have left marks, or were done often enough."""
        left = [name for name in sorted(unshown) if self._encores[name] < ENCORES_MAX]
        if not left:
            return None
        name = min(left, key=lambda name: self._encores[name])
        self._encores[name] += 1
        return name
