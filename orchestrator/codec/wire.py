"""The engine's records to bytes and back. See docs/records.md for what travels where."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from orchestrator.codec import checks, commands_json
from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.binary import Own, Shape, compile_schema
from orchestrator.codec.due import TimerReader
from orchestrator.codec.envelope import Origin
from orchestrator.codec.forms import Check, Decoder, Form, Writers, quick_decoder
from orchestrator.codec.records import (
    Cause,
    Cursor,
    DeadLetter,
    Outcome,
    Reply,
    StepCommand,
    Transition,
)
from orchestrator.codec.registry import Registry
from orchestrator.codec.rows import (
    PARTS,
    Ended,
    Row,
    Started,
    pack,
    pack_transition,
    unpack,
    unpack_transition,
)
from orchestrator.codec.snapshots import SnapshotRow, StepRow, pack_state, unpack_state
from orchestrator.core.commands import (
    CancelSaga,
    OperatorCommand,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
)
from orchestrator.core.state import SagaState, timers

PRIVATE = frozenset({"Snapshot", "Cursor"})
"""Records that only workers write and read: they are never in a registry."""

_JSON_BEGINS = b"{ \t\r\n"
_SENT = Own(unique=frozenset({"effect", "text", "offset", "transaction"}))
# A stranger's headers have names, and its records times.
_OWN = {
    "DeadLetter": Own(unique=frozenset({"text", "name", "offset", "timestamp_ms"})),
    "Snapshot": _SENT._replace(recurring_items=frozenset({"steps"})),
}


def _plain(kind: type[Any]) -> Shape:
    # tuple.__new__ is what a NamedTuple's _make does, without the count: the schema has counted.
    return Shape(kind, partial(tuple.__new__, kind))


_RECORDS: tuple[type[Any], ...] = (
    StartSaga,
    CancelSaga,
    RetrySaga,
    SkipStep,
    ResolveStep,
    StepCommand,
    Reply,
    Cause,
    Origin,
    Cursor,
    Outcome,
    DeadLetter,
    Started,
    Ended,
)
SHAPES = {kind.__name__: _plain(kind) for kind in _RECORDS} | {
    "Transition": Shape(Transition, unpack_transition, pack_transition),
    "Event": Shape(Row, lambda values: unpack(Row._make(values)), pack, PARTS),
    "Snapshot": Shape(SagaState, lambda row: unpack_state(SnapshotRow._make(row)), pack_state),
    "Step": _plain(StepRow),
}
"""For each record of the engine's schemas, the value that it is in Python."""

_COMMAND_CHECKS: dict[type[Any], Check] = {
    StartSaga: checks.start_saga,
    CancelSaga: checks.cancel_saga,
    RetrySaga: checks.retry_saga,
    SkipStep: checks.skip_step,
    ResolveStep: checks.resolve_step,
}


class RecordCodec:
    """Encodes and decodes every record of the engine. Holds nothing but schemas and their ids.

    Args:
        registry: With one, the records that others see are written in its wire format. Both
            prefixes are always read.

    Every `decode_*` raises DecodeError and nothing else, for any bytes at all; with a registry also
    Retriable, if its answer is needed and it is away. Every `encode_*` raises ValueError or
    TypeError for a value that the schema cannot hold, such as a number of more than 64 bits.
    """

    def __init__(self, registry: Registry | None = None) -> None:
        form = {
            name: Form(schema, compile_schema(schema.parsed, SHAPES, own=_OWN.get(name, _SENT)))
            for name, schema in engine_schemas().items()
            if name == schema.short_name
        }
        writers = Writers(engine_schemas().values(), registry)
        for name in form.keys() - PRIVATE:
            writers.publish(form[name])

        def decoder(name: str, check: Check) -> Check:
            return quick_decoder(form[name], check, Decoder({form[name]: check}, writers))

        self._form = form
        self.snapshot_timers = TimerReader(
            form["Snapshot"].schema.prefix, lambda data: timers(self.decode_snapshot(data))
        ).read
        """Gives what `core.state.timers` gives for an encoded state, in a fifth of the time."""
        commands = {form[kind.__name__]: check for kind, check in _COMMAND_CHECKS.items()}
        starts = form["StartSaga"]
        self._commands = quick_decoder(starts, commands[starts], Decoder(commands, writers))
        # Attributes, not methods around them: they are called for each record.
        self.encode_transition: Callable[[Transition], bytes] = form["Transition"].encode
        """Encode a transition for the events topic."""
        self.decode_transition: Callable[[bytes], Transition] = decoder(
            "Transition", checks.transition
        )
        """Decode a transition."""
        self.encode_snapshot: Callable[[SagaState], bytes] = form["Snapshot"].encode
        """Encode a state for changelog and store. Equal states give equal bytes."""
        self.decode_snapshot: Callable[[bytes], SagaState] = decoder("Snapshot", checks.snapshot)
        """Decode a state."""
        self.encode_step_command: Callable[[StepCommand], bytes] = form["StepCommand"].encode
        """Encode a step command for a participant."""
        self.decode_step_command: Callable[[bytes], StepCommand] = decoder(
            "StepCommand", checks.step_command
        )
        """Decode a step command. Its effect id agrees with its other fields."""
        self.encode_reply: Callable[[Reply], bytes] = form["Reply"].encode
        """Encode a reply for the step command's reply topic."""
        self.decode_reply: Callable[[bytes], Reply] = decoder("Reply", checks.reply)
        """Decode a reply. Its effect id can be parsed and agrees with its saga."""
        self.encode_cursor: Callable[[Cursor], bytes] = form["Cursor"].encode
        """Encode a cursor for changelog and store."""
        self.decode_cursor: Callable[[bytes], Cursor] = decoder("Cursor", checks.cursor)
        """Decode a cursor. Its inputs are sorted by topic."""
        self.encode_outcome: Callable[[Outcome], bytes] = form["Outcome"].encode
        """Encode an outcome for the outcomes topic."""
        self.decode_outcome: Callable[[bytes], Outcome] = decoder("Outcome", checks.outcome)
        """Decode an outcome."""
        self.encode_dead_letter: Callable[[DeadLetter], bytes] = form["DeadLetter"].encode
        """Encode a dead letter for the dead-letters topic."""
        self.decode_dead_letter: Callable[[bytes], DeadLetter] = decoder(
            "DeadLetter", checks.dead_letter
        )
        """Decode a dead letter."""

    def encode_command(self, command: StartSaga | OperatorCommand) -> bytes:
        """Encode a command for the commands topic."""
        return self._form[type(command).__name__].encode(command)

    def decode_command(self, data: bytes) -> StartSaga | OperatorCommand:
        """Decode a command in Avro (either prefix) or JSON, told apart by the first byte.

        The payload of a start, and the result of a resolve, are opaque: pass them through
        `AvroPayloads.accept` with the declared type. From a JSON command they are JSON.
        """
        if data[:1] and data[0] in _JSON_BEGINS:
            command = commands_json.decode(data)
            return cast("StartSaga", _COMMAND_CHECKS[type(command)](command))
        found: StartSaga = self._commands(data)
        return found
