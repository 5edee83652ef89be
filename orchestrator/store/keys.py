"""How keys are spelled on disk: pure functions on bytes. Bytewise order is the order that we need.

A change here is a new `LAYOUT_VERSION`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from orchestrator.core.state import RawTimer, Timer

CURSOR = b"cursor"
LAYOUT = b"layout"
PROGRESS = b"progress"
"""Position and synced_at: two numbers that are always written together."""
POSITION = b"\xff"
"""`PROGRESS` once more, in each other family: behind every saga id (ASCII) and every due time."""

_DUE = struct.Struct(">Q")
_STEP = struct.Struct(">I")
_STEP_AFTER_ID = struct.Struct(">cI")
_PROGRESS = struct.Struct(">qq")
_END = b"\x00"


def saga_id(key: bytes) -> str:
    """The id in a snapshot's key: the id itself, in ASCII, so that keys are sorted as ids are."""
    return key.decode("ascii")


def timer_key(timer: Timer) -> bytes:
    """Key of a timer: sorted as `Timer` tuples are, by due time first.

    The id ends with a zero byte, below every character of an id; steps count from -1.
    """
    due_ms, saga_id, step = timer
    return _DUE.pack(due_ms) + saga_id.encode("ascii") + _STEP_AFTER_ID.pack(_END, step + 1)


def timer_keys(timers: Iterable[RawTimer]) -> list[bytes]:
    """Keys of timers whose saga ids are bytes, sorted."""
    due, tails = _DUE.pack, _TAILS
    return sorted([due(due_ms) + saga_id + tails[step] for due_ms, saga_id, step in timers])


class _Tails(dict[int, bytes]):
    """How the key of a step's timer ends, made once for each step."""

    def __missing__(self, step: int) -> bytes:
        tail = self[step] = _STEP_AFTER_ID.pack(_END, step + 1)
        return tail


_TAILS = _Tails()


def timer(key: bytes) -> Timer:
    """The timer in a key."""
    (due_ms,) = _DUE.unpack_from(key)
    (step,) = _STEP.unpack_from(key, len(key) - _STEP.size)
    return Timer(due_ms, key[_DUE.size : -_STEP.size - 1].decode("ascii"), step - 1)


def progress(position: int, synced_at_ms: int) -> bytes:
    """Value of `PROGRESS`."""
    return _PROGRESS.pack(position, synced_at_ms)


def read_progress(value: bytes) -> tuple[int, int]:
    """Position and synced_at_ms."""
    position, synced_at_ms = _PROGRESS.unpack(value)
    return position, synced_at_ms
