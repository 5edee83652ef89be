"""From a record to a task, or to the reason why it is refused. Pure; any bytes get one or other."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from orchestrator.codec import limits
from orchestrator.codec.envelope import Envelope
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.records import StepCommand
from orchestrator.codec.steps import StepReader
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.tuples import constructor
from orchestrator.errors import DecodeError
from orchestrator.participant.handler import Operation

_VALUE_BYTES_MAX = DEFAULT_LIMITS.value_bytes_max
_KEY_BYTES_MAX = DEFAULT_LIMITS.key_bytes_max
_HEADER_BYTES_MAX = DEFAULT_LIMITS.header_value_bytes_max

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class Task(NamedTuple):
    """A step command that may be obeyed."""

    envelope: Envelope
    command: StepCommand
    key: str
    """Of its operation: `saga/step/direction`."""
    headers: Headers
    """Of its reply: `id`, and `traceparent` if the command has one."""

    @property
    def operation(self) -> Operation:
        """What a handler may take besides the command."""
        _, saga, step, direction, attempt, due_ms, *_ = self.command
        return Operation(self.key, saga, step, direction, attempt, due_ms)


_task = constructor(Task)


class Refusal(NamedTuple):
    """A record that is not obeyed, nor answered: there is nobody who could be trusted to ask."""

    envelope: Envelope
    reason: str
    text: str


class Inbox:
    """Checks in this order: limits, decoding (with ids), key, and where the reply would go."""

    def __init__(self, codec: RecordCodec, reply_topic: str, reply_partitions: int) -> None:
        """Check for a participant that answers to one topic only, whatever a command says."""
        self.codec = codec
        self.reply_topic = reply_topic
        self.reply_partitions = reply_partitions
        self._steps = StepReader(codec)

    def read(self, envelope: Envelope) -> Task | Refusal:
        """Give the task in a record, or why there is none."""
        _, key, value, headers, _ = envelope
        if value is None or not key or len(value) > _VALUE_BYTES_MAX or len(key) > _KEY_BYTES_MAX:
            return self.examine(envelope)
        try:
            command = self._steps.read(key, value)
        except DecodeError:
            return self.examine(envelope)
        id_ = command.effect.encode()
        known: Headers = (("id", id_),)
        if len(headers) > 1:
            traceparent = limits.traceparent(envelope)
            known = (*known, ("traceparent", traceparent)) if traceparent else known
        # What a worker sends is known to the letter then, and needs no other check of its headers.
        if headers != known or len(id_) > _HEADER_BYTES_MAX:
            return self.examine(envelope)
        return self._judge(envelope, command, known)

    def examine(self, envelope: Envelope) -> Task | Refusal:
        """Do as `read`, by the long way: it can say what is wrong."""
        try:
            limits.check(envelope)
            command = self.codec.decode_step_command(envelope.value or b"")
        except DecodeError as error:
            return Refusal(envelope, error.reason, error.text)
        headers: Headers = (("id", command.effect.encode()),)
        traceparent = limits.traceparent(envelope)
        if traceparent:
            headers = (*headers, ("traceparent", traceparent))
        return self._judge(envelope, command, headers)

    def _judge(self, envelope: Envelope, command: StepCommand, headers: Headers) -> Task | Refusal:
        if envelope.key != command.saga.encode():
            return Refusal(envelope, "key_mismatch", "the record's key is not the saga id")
        if command.reply_topic != self.reply_topic:
            text = f"this participant answers on {self.reply_topic} only"
            return Refusal(envelope, "foreign_reply_topic", text)
        if not 0 <= command.reply_partition < self.reply_partitions:
            text = f"{self.reply_topic} has {self.reply_partitions} partitions"
            return Refusal(envelope, "bad_reply_partition", text)
        # The effect has been checked: without its attempt it is the operation.
        return _task(envelope, command, command.effect.rpartition("/")[0], headers)
