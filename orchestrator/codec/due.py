"""The timers in an encoded snapshot, without the rest of it: a restore needs nothing else.

A full decode takes five times as long. Only for bytes that we have written ourselves, by the very
schema that is current; whatever looks different is the business of the full decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from orchestrator.core.state import SAGA_TIMER, Timer

RawTimer: TypeAlias = tuple[int, bytes, int]
"""A `core.state.Timer` with the bytes of its saga's id."""

_MORE = 0x80
"""Set in a byte of a number: another one follows."""
_SHORT_COUNT_MAX = 255
_REMEMBERED_COUNT_MAX = 4_096
_NONE = b"\0"
"""The number that says that no timer is armed."""


def _size(count: int) -> bytes:
    """How Avro writes so many."""
    doubled = count << 1
    return bytes([doubled]) if doubled < _MORE else bytes([doubled & 0x7F | _MORE, doubled >> 7])


def _short() -> bytes:
    """A pattern for bytes with their size before them, if they are not too many."""
    counts = range(_SHORT_COUNT_MAX + 1)
    return b"(?:%b)" % b"|".join(re.escape(_size(count)) + b".{%d}" % count for count in counts)


# Patterns, as one call finds what thirty lines of Python would, in less than half of the time. Each
# goes as far as a pattern can: up to bytes of any size, and captures that.
_NUMBER = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
# One that is not negative: its first byte is even.
_NATURAL = b"(?:[%b]|[%b][\\x80-\\xff]{0,8}[\\x00-\\x7f])" % (
    re.escape(bytes(range(0, _MORE, 2))),
    re.escape(bytes(range(_MORE, 2 * _MORE, 2))),
)
_SHORT = _short()
_FLAG = rb"[\x00\x01]"
_STEP = (
    b"(%b)" % _NATURAL  # step
    + _NUMBER * 2  # attempt, attempts_before
    + _FLAG  # doubtful
    + b"(%b)" % _NUMBER  # due_ms
    + b"(%b)" % _NATURAL  # the command's size
)
_HEAD = (
    _SHORT * 2  # saga, definition
    + _NUMBER * 4  # version, fingerprint, phase, sequence
    + b"(%b)" % _NATURAL  # the payload's size
)
_BODY = (
    _SHORT  # start_digest
    + _NUMBER  # started_ms
    + b"(%b)" % _NUMBER  # due_ms
    + _SHORT  # cause
    + _FLAG  # lost
    + _SHORT  # decisions
    + rb"\x00"  # no faults
    + _SHORT  # statuses
    + b"(?:\x00|(%b)%b)" % (_NATURAL, _STEP)  # how many steps have more, and the first of them
)
_body = re.compile(_BODY, re.DOTALL).match
_step = re.compile(_STEP, re.DOTALL).match


class _Numbers(dict[bytes, int]):
    """From bytes to the number in them: those of one transaction have the same times."""

    def __missing__(self, data: bytes) -> int:
        if len(self) >= _REMEMBERED_COUNT_MAX:
            self.clear()
        self[data] = number = _number(data, 0)[0]
        return number


class TimerReader:
    """Reads timers."""

    def __init__(self, prefix: bytes, otherwise: Callable[[bytes], tuple[Timer, ...]]) -> None:
        """`prefix` is how snapshots begin; of all others `otherwise` says the timers."""
        self._head = re.compile(re.escape(prefix) + _HEAD, re.DOTALL).match
        self._otherwise = otherwise
        self._numbers = _Numbers()

    def read(self, saga_id: bytes, data: bytes) -> tuple[RawTimer, ...]:
        """Give what `core.state.timers` gives for the encoded state of this saga."""
        # One function: it is called for each record, and a call costs as much as ten lines of it.
        numbers, end = self._numbers, len(data)
        head = self._head(data)
        body = None if head is None else _body(data, head.end() + numbers[head[1]])
        if body is None:
            return self._other(saga_id, data)
        due, count, step, step_due, size = body.groups()
        at, found = body.end(), []
        if count is not None:
            for left_count in range(numbers[count] - 1, -1, -1):
                at += numbers[size]
                if step_due != _NONE:
                    found.append((numbers[step_due], saga_id, numbers[step]))
                if at >= end:
                    break
                bits = data[at]
                at = at + 1 + (bits >> 1) if bits < _MORE else _past(data, at)  # result
                if left_count:
                    if (following := _step(data, at)) is None:
                        at = end  # fewer than were announced
                        break
                    step, step_due, size = following.groups()
                    at = following.end()
            at += 1
        if at != end or data[-1]:
            return self._other(saga_id, data)
        if due != _NONE:
            found.append((numbers[due], saga_id, SAGA_TIMER))
        return tuple(found)

    def _other(self, saga_id: bytes, data: bytes) -> tuple[RawTimer, ...]:
        return tuple((due_ms, saga_id, step) for due_ms, _, step in self._otherwise(data))


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of Avro's, and where the next value begins."""
    bits = data[at]
    at += 1
    if bits < _MORE:
        return (bits >> 1) ^ -(bits & 1), at
    shift = 7
    while (byte := data[at]) >= _MORE:
        # What was set to say that another byte follows is the lowest bit of the next one's place.
        bits += (byte - 1) << shift
        shift += 7
        at += 1
    bits += (byte - 1) << shift
    return (bits >> 1) ^ -(bits & 1), at + 1


def _past(data: bytes, at: int) -> int:
    """Where the value after these bytes begins; never before them, whatever their size is said to be."""
    size, at = _number(data, at)
    return at + max(size, 0)
