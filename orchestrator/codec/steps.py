"""What participants read and write all day, in half the time that the codec takes, and to the byte.

The commands of one step differ in saga, time, partition and payload. All else is the same: it is
compared with what was read before. A reply begins as its command does.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.codec.avro import PREFIX_BYTES, engine_schemas
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
from orchestrator.core.ids import ID_LENGTH_MAX, is_id
from orchestrator.core.tuples import constructor
from orchestrator.errors import DecodeError

_KNOWN_COUNT_MAX = 1_024
"""Steps, counted with direction and attempt, that are remembered at a time."""
_INT_MAX = (1 << 31) - 1
_SHORT_BYTES = 64
"""A length from here on takes two bytes."""
_TYPES = primitives("strict")
_step_command = constructor(StepCommand)
_SUCCEEDED = int(ReplyOutcome.SUCCEEDED)
_SUCCESS = READY[_SUCCEEDED] + READY[0]
"""Outcome and text of a reply of success."""


class _Known(NamedTuple):
    """What the commands of one step have in common: as bytes, and as fields."""

    step: bytes
    """Step, direction and attempt."""
    command: bytes
    """Type and reply topic."""
    fields: StepCommand


class StepReader:
    """Reads step commands; gives and raises what `RecordCodec.decode_step_command` does."""

    def __init__(self, codec: RecordCodec) -> None:
        """Read by `codec` whatever is not known yet."""
        self._codec = codec
        self._prefix = engine_schemas()["StepCommand"].prefix
        self._known: dict[bytes, _Known] = {}
        """By the part of the effect id that follows the saga's."""
        self._due = b"\x00", 0
        """The last `due_ms`: commands of one transaction often share it."""

    def read(self, key: bytes, value: bytes) -> StepCommand:
        """Read a record's value; its key should be the saga's id, or it takes longer.

        Raises:
            DecodeError: For any bytes that are no step command.
            Retriable: The registry is needed and away.
        """
        try:
            found = self._compare(key, value)
        except (*READ_ERRORS, DecodeError):
            found = None
        if found is None:
            found = self._codec.decode_step_command(value)
            self._learn(found)
        return found

    def _compare(self, key: bytes, value: bytes) -> StepCommand | None:
        length = len(key)
        if length > ID_LENGTH_MAX:
            return None
        # The effect lies between its length and the saga, which is the key with a length of its own.
        at = value.find(READY[length] + key, PREFIX_BYTES + 1)
        begin = PREFIX_BYTES + (1 if at <= PREFIX_BYTES + _SHORT_BYTES else 2)
        effect = value[begin:at]
        known = self._known.get(effect[length:])
        if at < 0 or known is None or not effect.startswith(key):
            return None
        step, command, fields = known
        at += len(READY[length]) + length
        if value[:begin] != self._prefix + READY[len(effect)] or not value.startswith(step, at):
            return None
        due, due_ms = self._due
        at += len(step)
        if value.startswith(due, at):
            at += len(due)
        else:
            begin = at
            due_ms, at = read_long(value, begin)
            self._due = value[begin:at], due_ms
        if due_ms < 0 or not value.startswith(command, at):
            return None
        at += len(command)
        partition, at = (value[at] >> 1, at + 1) if not value[at] & 0x81 else read_long(value, at)
        size, at = read_long(value, at)
        saga = key.decode()
        if not 0 <= partition <= _INT_MAX or size != len(value) - at or not is_id(saga):
            return None
        _, _, name, direction, attempt, _, kind, topic, _, _ = fields
        text, payload = effect.decode(), value[at:]
        return _step_command(
            text, saga, name, direction, attempt, due_ms, kind, topic, partition, payload
        )

    def _learn(self, command: StepCommand) -> None:
        if len(self._known) >= _KNOWN_COUNT_MAX:
            self._known.clear()
        _, _, step, direction, attempt, _, kind, topic, _, _ = fields = command._replace(
            payload=b""
        )
        text, number = _TYPES["string"].encode, _TYPES["int"].encode
        self._known[f"/{step}/{direction}/{attempt}".encode()] = _Known(
            text(step) + text(direction) + number(attempt), text(kind) + text(topic), fields
        )


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
