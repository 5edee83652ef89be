"""The timers in an encoded snapshot, without the rest of it: a restore needs nothing else.

What a full decode gives in 13 us takes 2 to 3. Only for bytes that we have written ourselves, by the
very schema that is current; whatever looks different is the business of the full decode.
"""

from __future__ import annotations

from orchestrator.codec.avro import PREFIX_BYTES
from orchestrator.core.state import SAGA_TIMER, Timer

MORE = 0x80
"""Set in a byte of a number: another one follows."""


def timers_in(data: bytes) -> tuple[Timer, ...]:  # noqa: C901, PLR0912, PLR0915 - see below
    """Give what `core.state.timers` gives for the state that was encoded after the prefix.

    Raises IndexError, UnicodeDecodeError or ValueError for bytes that are no snapshot, if it notices.
    """
    # Written out: a call of a function costs what it would skip. Sizes of one byte are even numbers,
    # twice what they say, since none is negative.
    size, at = _number(data, PREFIX_BYTES)
    end = at + size
    saga_id = data[at:end].decode("ascii")
    size = data[end]
    at = end + 1 + (size >> 1) if size < MORE else _past(data, end)  # definition
    for _ in range(4):  # version, fingerprint, phase, sequence
        while data[at] >= MORE:
            at += 1
        at += 1
    size = data[at]
    at = at + 1 + (size >> 1) if size < MORE else _past(data, at)  # payload
    size = data[at]
    at = at + 1 + (size >> 1) if size < MORE else _past(data, at)  # start_digest
    while data[at] >= MORE:  # started_ms
        at += 1
    saga_due_ms, at = _number(data, at + 1)
    size = data[at]
    at = (at + 1 + (size >> 1) if size < MORE else _past(data, at)) + 1  # cause, lost
    size = data[at]
    at = at + 1 + (size >> 1) if size < MORE else _past(data, at)  # decisions
    while data[at]:
        count, at = _number(data, at)
        for _ in range(count):  # faults
            while data[at] >= MORE:
                at += 1
            at += 1
    at += 1
    size = data[at]
    at = at + 1 + (size >> 1) if size < MORE else _past(data, at)  # statuses
    found: list[Timer] = []
    while data[at]:
        count, at = _number(data, at)
        for _ in range(count):
            step, at = (data[at] >> 1, at + 1) if data[at] < MORE else _number(data, at)
            while data[at] >= MORE:  # attempt
                at += 1
            at += 1
            while data[at] >= MORE:  # attempts_before
                at += 1
            at += 2  # and doubtful
            if data[at]:
                due_ms, at = _number(data, at)
                found.append(Timer(due_ms, saga_id, step))
            else:
                at += 1
            size = data[at]
            at = at + 1 + (size >> 1) if size < MORE else _past(data, at)  # command
            size = data[at]
            at = at + 1 + (size >> 1) if size < MORE else _past(data, at)  # result
    if at + 1 != len(data):
        raise ValueError(f"{len(data) - at - 1} bytes are left")
    if saga_due_ms:
        found.append(Timer(saga_due_ms, saga_id, SAGA_TIMER))
    return tuple(found)


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of Avro's, and where the next value begins."""
    bits = data[at]
    at += 1
    if bits < MORE:
        return (bits >> 1) ^ -(bits & 1), at
    shift = 7
    while (byte := data[at]) >= MORE:
        # What was set to say that another byte follows is the lowest bit of the next one's place.
        bits += (byte - 1) << shift
        shift += 7
        at += 1
    bits += (byte - 1) << shift
    return (bits >> 1) ^ -(bits & 1), at + 1


def _past(data: bytes, at: int) -> int:
    """Where the value after these bytes begins."""
    size, at = _number(data, at)
    return at + size
