"""The first stage of a batch: from records of input topics to commands that are understood."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.keys import REROUTED
from orchestrator.codec.limits import Limits, check, traceparent
from orchestrator.codec.records import Cause
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import (
    Command,
    ReplyOutcome,
    ReplyReceived,
    ResolveStep,
    StartSaga,
)
from orchestrator.core.ids import Direction, is_id, parse_effect_id
from orchestrator.core.state import SagaState
from orchestrator.core.tuples import constructor
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.runtime.catalog import Catalog, Known
from orchestrator.runtime.quarantine import Refusal, each
from orchestrator.topics import Topics

_OUTCOMES = {int(outcome): outcome for outcome in ReplyOutcome}
_cause, _reply_received = constructor(Cause), constructor(ReplyReceived)
_SUCCEEDED, _DO = ReplyOutcome.SUCCEEDED, Direction.DO.value


class Read(NamedTuple):
    """An input, understood."""

    command: Command
    cause: Cause
    known: Known | None
    """The definition that a start command asks for."""
    traceparent: bytes | None


_read = constructor(Read)


class Reroute(NamedTuple):
    """A command that was sent to the wrong shard, and where it belongs."""

    partition: int


Understood: TypeAlias = Read | Refusal | Reroute


class Reader:
    """Reads commands and replies."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        codec: RecordCodec,
        limits: Limits,
        topics: Topics,
        partitions: int,
    ) -> None:
        self._catalog = catalog
        self._codec = codec
        self._limits = limits
        self._partitions = partitions
        self._participants = {topics.replies(name): name for name in catalog.participants}

    def read(self, shard: int, envelopes: Sequence[Envelope]) -> list[Understood]:
        """Read records of the input topics' partitions of one shard. Raises as `quarantine.each`."""
        return each(partial(self._read, shard), envelopes)

    def _read(self, shard: int, envelope: Envelope) -> Understood:
        check(envelope, self._limits)
        participant = self._participants.get(envelope.origin.topic)
        if participant is None:
            return self._command(shard, envelope)
        return self._reply(envelope, participant)

    def _command(self, shard: int, envelope: Envelope) -> Understood:
        key = envelope.key or b""
        home = partition_of(key, self._partitions)
        if home != shard:
            if any(name == REROUTED for name, _ in envelope.headers):
                return Refusal("misrouted", f"belongs to shard {home}, where it was sent before")
            return Reroute(home)
        command = self._codec.decode_command(envelope.value or b"")
        if command.saga_id.encode() != key or not is_id(command.saga_id):
            return Refusal("key_mismatch", "the key is not the saga id that the command names")
        if not isinstance(command, StartSaga):
            return Read(command, Cause("operator", envelope.origin, command.actor), None, None)
        known = self._catalog.find(command.definition, command.version)
        if known is not None:
            payload = known.accept(command.payload)
            if payload is not command.payload:
                command = command._replace(payload=payload)
        return _read(command, _cause("start", envelope.origin, ""), known, traceparent(envelope))

    def _reply(self, envelope: Envelope, participant: str) -> Understood:
        origin, key, value, _, _ = envelope
        effect_id, saga_id, outcome, text, payload = self._codec.decode_reply(value or b"")
        effect = parse_effect_id(effect_id)
        if effect is None:
            return Refusal("bad_id", "the effect id is not spelled saga/step/direction/attempt")
        of_saga, step_id, direction, attempt = effect
        if of_saga != saga_id or saga_id.encode() != key:
            return Refusal("key_mismatch", "key, saga and effect id do not name the same saga")
        command = _reply_received(
            saga_id, step_id, direction, attempt, _OUTCOMES[outcome], payload, text, participant
        )
        cause = _cause("reply", origin, participant)
        return _read(command, cause, None, traceparent(envelope))


def with_result(command: Command, state: SagaState | None, known: Known | None) -> Command:
    """Check what a participant, or a person, says that a step gave; `known` tells the type.

    What a step function cannot read must not get into a saga: it would be stuck there. Raises
    DecodeError.
    """
    if known is None or state is None or state.ended:
        return command
    if isinstance(command, ReplyReceived):
        if command.outcome is not _SUCCEEDED or command.direction != _DO:
            return command
        result = known.accept_result(command.step_id, command.payload)
        return command if result is command.payload else command._replace(payload=result)
    if isinstance(command, ResolveStep) and command.result:
        result = known.accept_result(command.step_id, command.result)
        return command._replace(result=result)
    return command
