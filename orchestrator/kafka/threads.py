"""How the client library's own threads are scheduled beside ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def yielding() -> Iterator[None]:
    """Let threads that are made inside, and those that they make, interrupt no other as they wake.

    Under load the client library's threads wake some two thousand times a second, each time for
    microseconds, and each time take a core from the loop that they work for: it loses its place and
    its caches. As SCHED_BATCH (see sched(7)) they wait for its turn to end, a few ms at most, and get
    as much of a core as before. Linux only; a policy that somebody else has chosen stays.
    """
    if sys.platform != "linux" or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    ours = os.sched_param(0)
    os.sched_setscheduler(0, os.SCHED_BATCH, ours)
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, ours)
