"""What a worker and its standby process say to each other: one JSON object a line, over pipes.

Down (the standby's stdin): a numbered order with the shards that the worker has open or is about to
open. Up (its stdout): the number of the last order that was obeyed, 0 when it begins to listen. It
opens no store before its first order, and none that its last order names; once it has answered, the
worker may open them. The end of stdin is the end of the worker, and so of the standby.
"""

from __future__ import annotations

import json
import os
import select
from typing import NamedTuple

from orchestrator.errors import DecodeError

_READ_BYTES = 65_536


class Order(NamedTuple):
    """From the worker: keep off these shards."""

    number: int
    taken: frozenset[int]


def order_line(order: Order) -> bytes:
    """Write an order down."""
    return _line({"number": order.number, "taken": sorted(order.taken)})


def answer_line(number: int) -> bytes:
    """Write down that order `number` is obeyed."""
    return _line({"number": number})


def _line(value: dict[str, object]) -> bytes:
    return json.dumps(value).encode() + b"\n"


def parse_order(line: bytes) -> Order:
    """Read an order. Raises DecodeError."""
    try:
        found = json.loads(line)
        return Order(int(found["number"]), frozenset(map(int, found["taken"])))
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError("bad_order", f"{line!r}") from error


def parse_answer(line: bytes) -> int:
    """Read an answer. Raises DecodeError."""
    try:
        return int(json.loads(line)["number"])
    except (ValueError, KeyError, TypeError) as error:
        raise DecodeError("bad_answer", f"{line!r}") from error


class Lines:
    """Whole lines from a pipe, as they come."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._poll = select.poll()  # select() knows no descriptor above 1,023
        self._poll.register(descriptor, select.POLLIN)
        self._rest = b""
        self.ended = False
        """Whether the other side has closed the pipe, or is dead."""

    def take(self, timeout_s: float) -> list[bytes]:
        """Give the lines that are there; wait up to `timeout_s` for something to come."""
        if self.ended or not self._poll.poll(timeout_s * 1_000):
            return []
        data = os.read(self._descriptor, _READ_BYTES)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines
