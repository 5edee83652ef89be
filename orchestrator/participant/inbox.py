"""From a record to a task, or to the reason why it is refused. Pure; any bytes get one or other."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from orchestrator.codec import limits
from orchestrator.codec.envelope import Envelope
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.records import StepCommand
from orchestrator.codec.steps import Asked, StepReader
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.tuples import constructor
from orchestrator.errors import DecodeError
from orchestrator.participant.handler import Operation

_VALUE_BYTES_MAX = DEFAULT_LIMITS.value_bytes_max
_HEADER_BYTES_MAX = DEFAULT_LIMITS.header_value_bytes_max

Headers: TypeAlias = tuple[tuple[str, bytes], ...]


class Task(NamedTuple):
    """A step command that may be obeyed."""

    envelope: Envelope
    asked: Asked
    effect: bytes
    key: str
    """Of its operation: `saga/step/direction`."""
    due_ms: int
    reply_partition: int
    payload: bytes
    headers: Headers
    """Of its reply: `traceparent` if the command has one."""

    @property
    def saga(self) -> str:
        """The saga's id."""
        return (self.envelope.key or b"").decode()

    @property
    def operation(self) -> Operation:
        """What a handler may take besides the command."""
        step, direction, attempt, _, _ = self.asked
        return Operation(self.key, self.saga, step, direction, attempt, self.due_ms)


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
        self._steps = StepReader()

    def read(self, envelope: Envelope) -> Task | Refusal:
        """Give the task in a record, or why there is none."""
        _, key, value, headers, _ = envelope
        if not key or value is None or len(value) > _VALUE_BYTES_MAX or not headers:
            return self.examine(envelope)
        # What a worker sends is known to the letter, and needs no other check of its headers.
        name, effect = headers[0]
        if name != "id" or effect is None or len(effect) > _HEADER_BYTES_MAX:
            return self.examine(envelope)
        trace: Headers = ()
        if len(headers) > 1:
            trace = _trace(envelope)
            if headers[1:] != trace:
                return self.examine(envelope)
        found = self._steps.read(key, effect, value)
        # Only what has passed is learnt: its reply topic is ours.
        if found is None:
            return self.examine(envelope)
        asked, due_ms, partition, payload = found
        if partition >= self.reply_partitions:
            return self.examine(envelope)
        operation = effect[: effect.rfind(b"/")].decode()
        return _task(envelope, asked, effect, operation, due_ms, partition, payload, trace)

    def examine(self, envelope: Envelope) -> Task | Refusal:
        """Do as `read`, by the long way: it can say what is wrong."""
        try:
            limits.check(envelope)
            command = self.codec.decode_step_command(envelope.value or b"")
        except DecodeError as error:
            return Refusal(envelope, error.reason, error.text)
        wrong = self._judge(envelope, command)
        if wrong is not None:
            return wrong
        return _task(
            envelope,
            self._steps.learn(command),
            command.effect.encode(),
            # The effect has been checked: without its attempt it is the operation.
            command.effect.rpartition("/")[0],
            command.due_ms,
            command.reply_partition,
            command.payload,
            _trace(envelope),
        )

    def _judge(self, envelope: Envelope, command: StepCommand) -> Refusal | None:
        if envelope.key != command.saga.encode():
            return Refusal(envelope, "key_mismatch", "the record's key is not the saga id")
        if command.reply_topic != self.reply_topic:
            text = f"this participant answers on {self.reply_topic} only"
            return Refusal(envelope, "foreign_reply_topic", text)
        if not 0 <= command.reply_partition < self.reply_partitions:
            text = f"{self.reply_topic} has {self.reply_partitions} partitions"
            return Refusal(envelope, "bad_reply_partition", text)
        return None


def _trace(envelope: Envelope) -> Headers:
    traceparent = limits.traceparent(envelope)
    return (("traceparent", traceparent),) if traceparent else ()
