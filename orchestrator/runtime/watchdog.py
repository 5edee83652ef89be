"""The watchdog: ends a process whose loop stands still, so that a new one can take its place.

A call of the client library may never return, whatever its time limit (librdkafka #5456: offsets of a
transaction after its connections broke). Nothing in Python can interrupt it; nothing is lost by dying.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Callable

_REARM_S = 1.0
"""Arming costs some 50 us, so a busy loop does it once a second."""


class Watchdog:
    """Ends the process, with every thread's stack on stderr, unless it is patted in time."""

    def __init__(self, patience_ms: int, monotonic_s: Callable[[], float]) -> None:
        """`patience_ms` 0: never."""
        self._patience_s = patience_ms / 1_000
        self._monotonic_s = monotonic_s
        self._armed_s = 0.0

    def pat(self) -> None:
        """Say that the loop goes round."""
        now_s = self._monotonic_s()
        if self._patience_s and now_s - self._armed_s >= _REARM_S:
            self._armed_s = now_s
            faulthandler.dump_traceback_later(self._patience_s, exit=True)

    def stop(self) -> None:
        """Watch no more."""
        if self._patience_s:
            faulthandler.cancel_dump_traceback_later()
