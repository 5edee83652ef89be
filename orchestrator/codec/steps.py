"""What participants read and write all day, in a third of the time that the codec takes.

The commands of one step differ in saga, time, partition and payload. All else is the same: it is
compared with what was read before. A reply begins as its command does.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.primitives import (
    READ_ERRORS,
    READY,
    READY_COUNT,
    far_long,
    primitives,
    read_long,
)
from orchestrator.codec.records import Reply, StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import ReplyOutcome
from orchestrator.core.ids import ID_LENGTH_MAX
from orchestrator.errors import DecodeError

_KNOWN_COUNT_MAX = 1_024
"""Steps, counted with direction and attempt, that are remembered at a time."""
_INT_MAX = (1 << 31) - 1
_SHORT = 64
"""A length from here on takes two bytes."""
_ONE_BYTE = 0x81
"""Bits that are not set in a number from 0 to 63, which is one byte."""
_TYPES = primitives("strict")
_is_id = re.compile(rb"[A-Za-z0-9._-]{1,%d}" % ID_LENGTH_MAX).fullmatch
"""As `core.ids.is_id`, of bytes."""
_SUCCEEDED = int(ReplyOutcome.SUCCEEDED)
_SUCCESS = READY[_SUCCEEDED] + READY[0]
"""Outcome and text of a reply of success."""


class Asked(NamedTuple):
    """What the commands of one step, direction and attempt have in common."""

    step: str
    direction: str
    attempt: int
    type: str
    reply_topic: str


Rest: TypeAlias = tuple[Asked, int, int, bytes]
"""What else a step command says, but for effect and saga; after the first: `due_ms`,
`reply_partition` and payload."""


class _Known(NamedTuple):
    """What the commands of one step have in common: as bytes, and as fields."""

    step: bytes
    """Step, direction and attempt."""
    command_bytes: int
    command: bytes
    """Type and reply topic."""
    asked: Asked


class StepReader:
    """Reads those step commands that are like others which the codec has read."""

    def __init__(self) -> None:
        """Know nothing yet: see `learn`."""
        self._prefix = engine_schemas()["StepCommand"].prefix
        self._known: dict[bytes, _Known] = {}
        """By the part of the effect id that follows the saga's."""
        self._due = b"\x00", 0, 1
        """The last `due_ms`, and how many bytes it takes: commands of one transaction share it."""

    def read(self, saga: bytes, effect: bytes, value: bytes) -> Rest | None:
        """Give what a record's value says, if it is the command of this saga and effect, else None.

        None also if nothing like it is known, or if it is no command at all: the codec can tell.
        """
        size = len(saga)
        known = self._known.get(effect[size:])
        if known is None or effect[:size] != saga or not _is_id(saga):
            return None
        step, command_bytes, command, asked = known
        head = b"".join((self._prefix, READY[len(effect)], effect, READY[size], saga, step))
        at = len(head)
        try:
            if value[:at] != head:
                return None
            due, due_ms, due_size = self._due
            end = at + due_size
            if value[at:end] != due:
                due_ms, end = self._other_due(value, at)
            at = end + command_bytes
            if value[end:at] != command:
                return None
            if value[at] & _ONE_BYTE:
                partition, at = read_long(value, at)
            else:
                partition, at = value[at] >> 1, at + 1
            size = len(value) - at - 2
            if _SHORT <= size < READY_COUNT and value[at : at + 2] == READY[size]:
                at += 2  # the usual payload: its length takes two bytes
            else:
                size, at = read_long(value, at)
                if size != len(value) - at:
                    return None
        except (*READ_ERRORS, DecodeError):
            return None
        is_sound = due_ms >= 0 and 0 <= partition <= _INT_MAX
        return (asked, due_ms, partition, value[at:]) if is_sound else None

    def _other_due(self, value: bytes, at: int) -> tuple[int, int]:
        due_ms, end = read_long(value, at)
        self._due = value[at:end], due_ms, end - at
        return due_ms, end

    def learn(self, command: StepCommand) -> Asked:
        """Remember a command that the codec has read: those like it are read sooner."""
        _, _, step, direction, attempt, _, kind, topic, _, _ = command
        asked = Asked(step, direction, attempt, kind, topic)
        if len(self._known) >= _KNOWN_COUNT_MAX:
            self._known.clear()
        text, number = _TYPES["string"].encode, _TYPES["int"].encode
        start, end = text(step) + text(direction) + number(attempt), text(kind) + text(topic)
        known = _Known(start, len(end), end, asked)
        self._known[f"/{step}/{direction}/{attempt}".encode()] = known
        return asked


class ReplyWriter:
    """Writes replies of success; gives what `RecordCodec.encode_reply` does."""

    def __init__(self, codec: RecordCodec) -> None:
        """Write what `codec` writes."""
        nothing = codec.encode_reply(Reply("", "", _SUCCEEDED, "", b""))
        self._prefix = nothing.removesuffix(READY[0] + READY[0] + _SUCCESS + READY[0])

    def write(self, effect: bytes, saga: bytes, payload: bytes) -> bytes:
        """Write one; effect and saga are ids."""
        size = len(payload)
        return b"".join(
            (
                self._prefix,
                READY[len(effect)],
                effect,
                READY[len(saga)],
                saga,
                _SUCCESS,
                READY[size] if size < READY_COUNT else far_long(size),
                payload,
            )
        )
