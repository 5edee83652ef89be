"""How the client library's own threads are scheduled beside ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OTHER, _BATCH = 0, 3
"""SCHED_OTHER and SCHED_BATCH, which `os` has on Linux only."""


@contextmanager
def yielding() -> Iterator[None]:
    """Let threads that are made inside, and those that they make, interrupt no other as they wake.

    Under load the client library's threads wake some two thousand times a second, each time for
    microseconds, and each time take a core from the loop that they work for: it loses its place and
    its caches. As SCHED_BATCH (see sched(7)) they wait for its turn to end, a few ms at most, and get
    as much of a core as before. Linux only; a policy that somebody else has chosen stays, and where a
    sandbox forbids to choose one, all is as it was.
    """
    is_changed = _change(_OTHER, _BATCH)
    try:
        yield
    finally:
        if is_changed:
            _change(_BATCH, _OTHER)


def _change(before: int, after: int) -> bool:
    """Give this thread another policy, if it has that one; say whether it was done."""
    if sys.platform != "linux":
        return False
    try:
        if os.sched_getscheduler(0) != before:
            return False
        os.sched_setscheduler(0, after, os.sched_param(0))
    except OSError:
        return False
    return True
