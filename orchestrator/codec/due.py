"""The timers in an encoded snapshot, without the rest of it: a restore needs nothing else.

A full decode takes five times as long. Only for bytes that we have written ourselves, by the very
schema that is current; whatever looks different is the business of the full decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from orchestrator.core.ids import ID_LENGTH_MAX
from orchestrator.core.state import SAGA_TIMER, RawTimer, Timer

_MORE = 0x80
"""Set in a byte of a number: another one follows."""
_REMEMBERED_COUNT_MAX = 4_096
_NONE = b"\0"
"""The number that says that no timer is armed."""


def _sized(count_max: int) -> bytes:
    """A pattern for bytes with their size before them, if they are not more."""
    counts = range(count_max + 1)
    return b"(?:%b)" % b"|".join(re.escape(_size(count)) + b".{%d}" % count for count in counts)


def _size(count: int) -> bytes:
    """How Avro writes so many."""
    doubled = count << 1
    return bytes([doubled]) if doubled < _MORE else bytes([doubled & 0x7F | _MORE, doubled >> 7])


_NUMBER = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_FLAG = rb"[\x00\x01]"
_STEP = (
    b"(%b)" % _NUMBER  # step
    + _NUMBER * 2  # attempt, attempts_before
    + _FLAG  # doubtful
    + b"(%b)" % _NUMBER  # due_ms
    + b"(%b)" % _NUMBER  # the command's size
)


class _Patterns(NamedTuple):
    """One call of a pattern finds what thirty lines of Python would, in less than half of the time.

    Each goes as far as a pattern can: up to bytes of any size, and captures that.
    """

    head: Callable[[bytes], re.Match[bytes] | None]
    body: Callable[[bytes, int], re.Match[bytes] | None]
    step: Callable[[bytes, int], re.Match[bytes] | None]


@cache
def _patterns(prefix: bytes) -> _Patterns:
    """Made when first needed: it takes some 10 ms, and most processes restore nothing."""
    head = (
        re.escape(prefix)
        + _sized(ID_LENGTH_MAX)  # saga
        + _sized(63)  # definition
        + _NUMBER * 4  # version, fingerprint, phase, sequence
        + b"(%b)" % _NUMBER  # the payload's size
    )
    body = (
        _sized(8)  # start_digest
        + _NUMBER  # started_ms
        + b"(%b)" % _NUMBER  # due_ms
        + _sized(15)  # cause
        + _FLAG  # lost
        + _sized(15)  # decisions
        + rb"\x00"  # no faults
        + _sized(63)  # statuses
        + b"(?:\x00|(%b)%b)" % (_NUMBER, _STEP)  # how many steps have more, and the first of them
    )
    return _Patterns(*(re.compile(each, re.DOTALL).match for each in (head, body, _STEP)))


class _Numbers(dict[bytes, int]):
    """From bytes to the number in them: those of one transaction have the same times.

    Raises ValueError if it is negative: no size may be.
    """

    def __missing__(self, data: bytes) -> int:
        number = _number(data, 0)[0]
        if number < 0:
            raise ValueError(f"{number} is negative")
        if len(self) >= _REMEMBERED_COUNT_MAX:
            self.clear()
        self[data] = number
        return number


class TimerReader:
    """Reads timers."""

    def __init__(self, prefix: bytes, otherwise: Callable[[bytes], tuple[Timer, ...]]) -> None:
        """`prefix` is how snapshots begin; of all others `otherwise` says the timers."""
        self._prefix = prefix
        self._otherwise = otherwise
        self._numbers = _Numbers()
        self._patterns: _Patterns | None = None

    def read(self, saga_id: bytes, data: bytes) -> tuple[RawTimer, ...]:
        """Give what `core.state.timers` gives for the encoded state of this saga."""
        # One function: it is called for each record, and a call costs as much as ten lines of it.
        find_head, find_body, find_step = self._patterns or self._ready()
        numbers, found = self._numbers, []
        try:
            head = find_head(data)
            body = None if head is None else find_body(data, head.end() + numbers[head[1]])
            if body is None:
                return self._other(saga_id, data)
            due, count, step, step_due, size = body.groups()
            at = body.end()
            if count is not None:
                for left_count in range(numbers[count] - 1, -1, -1):
                    at += numbers[size]
                    if step_due != _NONE:
                        found.append((numbers[step_due], saga_id, numbers[step]))
                    bits = data[at]
                    at = at + 1 + (bits >> 1) if bits < _MORE else _past(data, at)  # result
                    if left_count:
                        if (following := find_step(data, at)) is None:
                            return self._other(saga_id, data)
                        step, step_due, size = following.groups()
                        at = following.end()
                at += 1
            if due != _NONE:
                found.append((numbers[due], saga_id, SAGA_TIMER))
        except (IndexError, ValueError):
            return self._other(saga_id, data)
        return tuple(found) if at == len(data) and not data[-1] else self._other(saga_id, data)

    def _ready(self) -> _Patterns:
        self._patterns = _patterns(self._prefix)
        return self._patterns

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
