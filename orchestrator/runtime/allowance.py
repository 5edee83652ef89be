"""How many bytes a transaction may carry: as many as the network takes well before it is in doubt.

A slow network asks for large transactions, since round trips cost the same whatever they carry, and
for small ones, since what takes too long on the wire costs the producer its life. Which of the two it
is, the last transactions show.
"""

from __future__ import annotations

FIRST_BYTES = 524_288
"""What any transaction may carry, some 1,300 small inputs: compressed, a network of 3 Mbit/s takes them
in half a second. Not less however slow it is, or round trips alone would let nothing through."""
_RESERVE = 2.0
"""How many times as long a step may take as it is planned to."""
_QUICK = 10.0
"""Leeway from which larger transactions gain nothing; and should the network become narrow just then,
they would be the first in doubt."""
_GROWTH_MAX = 1.25
"""How much larger the next may be. Others use the network as well, and now and then more than now."""


class Allowance:
    """Grows while full transactions are slow but have time to spare; shrinks when one had too little."""

    def __init__(self, bytes_max: int) -> None:
        """Begin small: nothing was seen of the network yet."""
        self._bytes_max = bytes_max
        self._bytes_min = self.bytes_count = min(FIRST_BYTES, bytes_max)

    def committed(self, bytes_count: int, leeway: float) -> None:
        """Take note of what a transaction carried, and how many times as long it might have taken.

        With n times the bytes a step takes n times as long at most, as round trips do not grow.
        """
        growth = min(leeway / _RESERVE, _GROWTH_MAX)
        if leeway >= _QUICK:
            self.bytes_count = self._bytes_min
        elif growth < 1 or bytes_count >= self.bytes_count:
            fitting = int(bytes_count * growth)
            self.bytes_count = max(self._bytes_min, min(fitting, self._bytes_max))

    def room_count(self, count: int, bytes_count: int) -> int:
        """Give how many more inputs fit beside so many, if they are as large; at least one."""
        left_bytes = max(0, self.bytes_count - bytes_count)
        return 1 + left_bytes * max(count, 1) // max(bytes_count, 1)

    def failed(self) -> None:
        """Begin anew."""
        self.bytes_count = self._bytes_min
