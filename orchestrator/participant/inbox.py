"""From a record to a task, or to the reason why it is refused. Pure; any bytes get one or other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.records import DeadLetter, Reply, StepCommand
from orchestrator.core.ids import parse_effect_id
from orchestrator.errors import DecodeError
from orchestrator.participant.handler import Operation

_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Codec(Protocol):
    """The envelopes that a participant reads and writes. Decoding raises only DecodeError."""

    def decode_step_command(self, value: bytes, /) -> StepCommand:
        """Read a step command."""

    def encode_reply(self, reply: Reply, /) -> bytes:
        """Write a reply."""

    def encode_dead_letter(self, letter: DeadLetter, /) -> bytes:
        """Write a dead letter."""


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
    """Checks in this order: limits, decoding, ids, key, and where the reply would go."""

    codec: Codec
    check: Callable[[Envelope], object]
    """The limits; raises DecodeError."""
    reply_topic: str
    """The one topic that this participant answers to, whatever a command says."""
    reply_partitions: int

    def read(self, envelope: Envelope) -> Task | Refusal:
        """Give the task in a record, or why there is none."""
        try:
            self.check(envelope)
            if envelope.value is None:
                return Refusal(envelope, "empty_value", "the record has no value")
            command = self.codec.decode_step_command(envelope.value)
        except DecodeError as error:
            return Refusal(envelope, error.reason, error.text)
        fault = self._fault(envelope, command)
        if fault is not None:
            return Refusal(envelope, *fault)
        key = f"{command.saga}/{command.step}/{command.direction}"
        operation = Operation(
            key, command.saga, command.step, command.direction, command.attempt, command.due_ms
        )
        return Task(envelope, command, operation, _traceparent(envelope))

    def _fault(self, envelope: Envelope, command: StepCommand) -> tuple[str, str] | None:
        effect = parse_effect_id(command.effect)
        if effect is None or effect != (
            command.saga,
            command.step,
            command.direction,
            command.attempt,
        ):
            return "bad_effect", "the effect id does not say saga, step, direction and attempt"
        if envelope.key != command.saga.encode():
            return "key_mismatch", "the record's key is not the saga id"
        if command.reply_topic != self.reply_topic:
            return "foreign_reply_topic", f"this participant answers on {self.reply_topic} only"
        if not 0 <= command.reply_partition < self.reply_partitions:
            text = f"{self.reply_topic} has {self.reply_partitions} partitions"
            return "bad_reply_partition", text
        return None


def _traceparent(envelope: Envelope) -> bytes:
    found = [value for name, value in envelope.headers if name == "traceparent" and value]
    return found[0] if len(found) == 1 and _TRACEPARENT.fullmatch(found[0]) else b""
