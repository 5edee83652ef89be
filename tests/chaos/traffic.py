"""Sagas without end, always so many in flight."""

from __future__ import annotations

import time


def keep_in_flight(town, count, patience_s=100):
    """Let one saga begin for each that ends, until as many have ended as are in flight."""
    wanted_count = len(town.ended) + count
    deadline_s = time.monotonic() + patience_s
    while len(town.ended) < wanted_count:
        assert time.monotonic() < deadline_s, town.report()
        # Not `open_count`, which takes its time with so many.
        missing_count = count - (len(town.acknowledged) - len(town.ended))
        town.begin(max(0, min(missing_count, 1_000)), ["m-ok"])
        town.look(0.02)


def rate(town, count, patience_s=100):
    """Sagas a second with always so many in flight, once as many have ended."""
    keep_in_flight(town, count, patience_s)
    began_s = time.monotonic()
    keep_in_flight(town, count, patience_s)
    return count / (time.monotonic() - began_s)
