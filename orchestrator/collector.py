"""The cyclic garbage collector of a process that runs for months on immutable values.

What the engine makes dies by its reference count: tuples that never change make no cycles. Left as it
is, the collector would walk the cache of sagas again and again to find nothing.
"""

from __future__ import annotations

import gc

YOUNG_COUNT = 50_000
"""Objects made and not freed before the young ones are looked at. Python's own is 700."""
YOUNGER_COUNT = 20
"""How often the young are looked at before those that survived are, and these before all."""


def rest() -> None:
    """Look at nothing before `spare`: what a process imports lives to its end."""
    gc.disable()


def spare() -> None:
    """Never look again at what lives to the end, and seldom at the rest.

    To be called once, when the process has been put together. What is garbage by then stays: 500
    objects, not worth the 30 ms of looking for them.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_COUNT, YOUNGER_COUNT, YOUNGER_COUNT)
    gc.enable()
