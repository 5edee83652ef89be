"""From a record to a task, or to the reason why it is refused. Pure; any bytes get one or other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.codec import limits
from orchestrator.codec.envelope import Envelope
from orchestrator.codec.limits import Limits
from orchestrator.codec.records import StepCommand
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import DecodeError
from orchestrator.participant.handler import Operation


class Task(NamedTuple):
    """A step command that may be obeyed."""

    envelope: Envelope
    command: StepCommand
    operation: Operation
    traceparent: bytes
    """As it came, or empty."""


class Refusal(NamedTuple):
    """A record that is not obeyed, nor answered: there is nobody who could be trusted to ask."""

    envelope: Envelope
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Inbox:
    """Checks in this order: limits, decoding (with ids), key, and where the reply would go."""

    codec: RecordCodec
    reply_topic: str
    """The one topic that this participant answers to, whatever a command says."""
    reply_partitions: int
    limits: Limits = limits.DEFAULT_LIMITS

    def read(self, envelope: Envelope) -> Task | Refusal:
        """Give the task in a record, or why there is none."""
        try:
            limits.check(envelope, self.limits)
            command = self.codec.decode_step_command(envelope.value or b"")
        except DecodeError as error:
            return Refusal(envelope, error.reason, error.text)
        fault = self._fault(envelope, command)
        if fault is not None:
            return Refusal(envelope, *fault)
        key = f"{command.saga}/{command.step}/{command.direction}"
        operation = Operation(
            key, command.saga, command.step, command.direction, command.attempt, command.due_ms
        )
        return Task(envelope, command, operation, limits.traceparent(envelope) or b"")

    def _fault(self, envelope: Envelope, command: StepCommand) -> tuple[str, str] | None:
        if envelope.key != command.saga.encode():
            return "key_mismatch", "the record's key is not the saga id"
        if command.reply_topic != self.reply_topic:
            return "foreign_reply_topic", f"this participant answers on {self.reply_topic} only"
        if not 0 <= command.reply_partition < self.reply_partitions:
            text = f"{self.reply_topic} has {self.reply_partitions} partitions"
            return "bad_reply_partition", text
        return None
