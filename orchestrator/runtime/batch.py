"""From inputs to what a transaction will carry. Nothing is sent or stored here.

Every input is decided alone, on the shard's overlay, and adds its records only when all of them
exist: whatever goes wrong before leaves no trace but a dead letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator import guard
from orchestrator.codec.envelope import Envelope, Origin, Record
from orchestrator.codec.keys import REROUTED
from orchestrator.codec.limits import Limits, check, traceparent
from orchestrator.codec.records import Cause, Outcome, StepCommand, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import (
    Command,
    ReplyOutcome,
    ReplyReceived,
    ResolveStep,
    StartSaga,
    TimerFired,
)
from orchestrator.core.decide import decide
from orchestrator.core.definition import Definition
from orchestrator.core.effects import Effect, SendCommand
from orchestrator.core.events import (
    CompensationStuck,
    DeadlinePassed,
    Event,
    NodeFaulted,
    StepStuck,
)
from orchestrator.core.ids import Direction, is_id, parse_effect_id
from orchestrator.core.react import effects
from orchestrator.core.state import Consistency, Phase, SagaState, Timer, timers
from orchestrator.errors import CorruptStore, DecodeError, TransactionError
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.runtime.catalog import Catalog, Known
from orchestrator.runtime.quarantine import Refusal, dead_letter
from orchestrator.runtime.shard import Change, Lookup, Shard
from orchestrator.topics import Topics

_OUTCOMES = {int(outcome): outcome for outcome in ReplyOutcome}
_ALERTS: dict[type[Event], str] = {
    StepStuck: "saga_stuck",
    CompensationStuck: "saga_stuck",
    NodeFaulted: "saga_faulted",
    DeadlinePassed: "deadline_passed",
}


class Read(NamedTuple):
    """An input, understood."""

    saga_id: str
    command: Command
    cause: Cause
    known: Known | None = None
    """The definition that a start command asks for."""
    traceparent: bytes | None = None


class Note(NamedTuple):
    """Something to be logged once the transaction is committed."""

    event: str
    reason: str
    saga: str
    shard: int
    cause: Origin


@dataclass(slots=True)
class Outbox:
    """What one transaction will carry, growing input by input."""

    now_ms: int
    records: list[Record] = field(default_factory=list)
    shards: dict[int, Shard] = field(default_factory=dict)
    """Touched ones, by partition."""
    work: list[Origin | Timer] = field(default_factory=list)
    """Every input and timer decided on, in order."""
    notes: list[Note] = field(default_factory=list)
    dead_letters: Counter[str] = field(default_factory=Counter)
    timers_count: int = 0
    transitions_count: int = 0
    events_count: int = 0
    step_commands_count: int = 0
    outcomes_count: int = 0
    rerouted_count: int = 0


class _Reroute(NamedTuple):
    partition: int


class _Decided(NamedTuple):
    records: list[Record]
    change: Change
    saga_id: str
    events: tuple[Event, ...]
    sends_count: int
    outcomes_count: int


class Interpreter:
    """Turns inputs and due timers into records and changes. Deterministic, given `now_ms`."""

    def __init__(
        self,
        *,
        catalog: Catalog,
        codec: RecordCodec,
        limits: Limits,
        topics: Topics,
        partitions: int,
        participant_partitions: Mapping[str, int],
        record_bytes_max: int,
        postpone_ms: int,
        worker: str,
    ) -> None:
        self._catalog = catalog
        self._codec = codec
        self._limits = limits
        self._topics = topics
        self._partitions = partitions
        self._record_bytes_max = record_bytes_max
        self._postpone_ms = postpone_ms
        self._worker = worker
        self._events, self._changelog = topics.events, topics.changelog
        self._participants = {topics.replies(name): name for name in catalog.participants}
        self._destinations = {
            name: (
                topics.participant_commands(name),
                participant_partitions[name],
                topics.replies(name),
            )
            for name in catalog.participants
        }

    # --- the two kinds of input -----------------------------------------------------------------

    def take(self, outbox: Outbox, shard: Shard, envelope: Envelope) -> None:
        """Decide on one record of an input topic. Raises CorruptStore, and nothing else."""
        found = guard.call(self._input, shard, envelope, shard.tick(outbox.now_ms))
        if isinstance(found, guard.Raised):
            found = Refusal("poison", _unless_ours(found))
        if isinstance(found, _Decided):
            self._add(outbox, shard, found, envelope.origin)
        elif isinstance(found, Refusal):
            self.refuse(outbox, shard, envelope, found)
        else:
            headers = tuple((name, value or b"") for name, value in envelope.headers)
            outbox.records.append(
                Record(
                    envelope.origin.topic,
                    found.partition,
                    envelope.key or b"",
                    envelope.value,
                    (*headers, (REROUTED, "{}/{}/{}".format(*envelope.origin).encode())),
                )
            )
            outbox.rerouted_count += 1
        self._consumed(outbox, shard, envelope.origin)

    def park(self, outbox: Outbox, shard: Shard, envelope: Envelope) -> None:
        """Dead-letter a record whose transaction was refused every time, without deciding on it."""
        text = "a transaction with this record alone was refused every time"
        self.refuse(outbox, shard, envelope, Refusal("poison", text))
        self._consumed(outbox, shard, envelope.origin)

    def fire(self, outbox: Outbox, shard: Shard, timer: Timer) -> None:
        """Decide on a due timer. One that cannot be fired rests. Raises CorruptStore only."""
        found = guard.call(self._timer, shard, timer, shard.tick(outbox.now_ms))
        if found is None:
            return
        if isinstance(found, _Decided):
            self._add(outbox, shard, found, self._timer_origin(shard))
            outbox.shards[shard.partition] = shard
            outbox.work.append(timer)
            outbox.timers_count += 1
            return
        if isinstance(found, guard.Raised):
            found = Refusal("poison", _unless_ours(found))
        self.rest(outbox, shard, timer, found)

    def rest(self, outbox: Outbox, shard: Shard, timer: Timer, refusal: Refusal) -> None:
        """Let a timer that cannot be fired rest for a while."""
        shard.postpone(timer, outbox.now_ms + self._postpone_ms)
        origin = self._timer_origin(shard)
        note = Note("timer_postponed", refusal.reason, timer.saga_id, shard.partition, origin)
        outbox.notes.append(note)

    def refuse(self, outbox: Outbox, shard: Shard, envelope: Envelope, refusal: Refusal) -> None:
        """Add a dead letter."""
        letter = dead_letter(
            envelope,
            refusal,
            at_ms=outbox.now_ms,
            worker=self._worker,
            value_bytes_max=self._record_bytes_max - 100_000,
        )
        key = letter.key or b""
        topic = self._topics.dead_letters
        value = self._codec.encode_dead_letter(letter)
        outbox.records.append(Record(topic, shard.partition, key, value))
        outbox.dead_letters[refusal.reason] += 1
        saga = key[:128].decode("ascii", "replace")
        note = Note("dead_letter", refusal.reason, saga, shard.partition, envelope.origin)
        outbox.notes.append(note)

    def _consumed(self, outbox: Outbox, shard: Shard, origin: Origin) -> None:
        shard.moved[origin.topic] = origin.offset + 1
        outbox.shards[shard.partition] = shard
        outbox.work.append(origin)

    def _add(self, outbox: Outbox, shard: Shard, decided: _Decided, cause: Origin) -> None:
        shard.overlay[decided.saga_id] = decided.change
        outbox.records.extend(decided.records)
        outbox.transitions_count += 1
        outbox.events_count += len(decided.events)
        outbox.step_commands_count += decided.sends_count
        outbox.outcomes_count += decided.outcomes_count
        for event in decided.events:
            alert = _ALERTS.get(type(event))
            if alert is not None:
                reason = str(getattr(event, "reason", ""))
                outbox.notes.append(Note(alert, reason, decided.saga_id, shard.partition, cause))

    # --- reading --------------------------------------------------------------------------------

    def _input(
        self, shard: Shard, envelope: Envelope, now_ms: int
    ) -> _Decided | Refusal | _Reroute:
        try:
            read = self._read(shard, envelope)
        except DecodeError as error:
            return Refusal(error.reason, error.text)
        if not isinstance(read, Read):
            return read
        found = shard.look_up(read.saga_id)
        if found.state is not None and not found.state.ended and _brings_result(read.command):
            try:
                read = self._with_result(read, found.state)
            except DecodeError as error:
                return Refusal(error.reason, error.text)
        if read.known is None and isinstance(read.command, StartSaga) and found.state is None:
            name, version = read.command.definition, read.command.version
            return Refusal(*self._catalog.unknown(name, version))
        return self._decide(shard, found, read, now_ms)

    def _read(self, shard: Shard, envelope: Envelope) -> Read | Refusal | _Reroute:
        check(envelope, self._limits)
        key, value = envelope.key or b"", envelope.value or b""
        participant = self._participants.get(envelope.origin.topic)
        if participant is None:
            return self._read_command(shard, envelope, key, value)
        return self._read_reply(envelope, key, value, participant)

    def _read_command(
        self, shard: Shard, envelope: Envelope, key: bytes, value: bytes
    ) -> Read | Refusal | _Reroute:
        home = partition_of(key, self._partitions)
        if home != shard.partition:
            if any(name == REROUTED for name, _ in envelope.headers):
                return Refusal("misrouted", f"belongs to shard {home}, where it was sent before")
            return _Reroute(home)
        command = self._codec.decode_command(value)
        if command.saga_id.encode() != key or not is_id(command.saga_id):
            return Refusal("key_mismatch", "the key is not the saga id that the command names")
        cause = Cause("operator", envelope.origin, getattr(command, "actor", ""))
        if not isinstance(command, StartSaga):
            return Read(command.saga_id, command, cause)
        cause = Cause("start", envelope.origin, "")
        known = self._catalog.find(command.definition, command.version)
        if known is not None:
            command = command._replace(payload=known.accept(command.payload))
        return Read(command.saga_id, command, cause, known, traceparent(envelope))

    def _with_result(self, read: Read, state: SagaState) -> Read:
        """Check what a participant, or a person, says that a step gave. A known saga tells the type.

        What a step function cannot read must not get into a saga: it would be stuck there.
        """
        known = self._catalog.find(state.definition, state.version)
        command = read.command
        if known is not None and isinstance(command, ReplyReceived):
            result = known.accept_result(command.step_id, command.payload)
            if result is command.payload:
                return read
            command = command._replace(payload=result)
        elif known is not None and isinstance(command, ResolveStep) and command.result:
            result = known.accept_result(command.step_id, command.result)
            command = command._replace(result=result)
        return read._replace(command=command)

    def _read_reply(
        self, envelope: Envelope, key: bytes, value: bytes, participant: str
    ) -> Read | Refusal:
        reply = self._codec.decode_reply(value)
        effect = parse_effect_id(reply.effect)
        if effect is None:
            return Refusal("bad_id", "the effect id is not spelled saga/step/direction/attempt")
        if effect.saga_id != reply.saga or reply.saga.encode() != key:
            return Refusal("key_mismatch", "key, saga and effect id do not name the same saga")
        command = ReplyReceived(
            reply.saga,
            effect.step_id,
            effect.direction,
            effect.attempt,
            _OUTCOMES[reply.outcome],
            reply.payload,
            reply.text,
            participant,
        )
        cause = Cause("reply", envelope.origin, participant)
        return Read(reply.saga, command, cause, None, traceparent(envelope))

    def _timer(self, shard: Shard, timer: Timer, now_ms: int) -> _Decided | Refusal | None:
        found = shard.look_up(timer.saga_id)
        cause = Cause("timer", self._timer_origin(shard), "")
        command = TimerFired(timer.saga_id, timer.step, timer.due_ms)
        decided = self._decide(shard, found, Read(timer.saga_id, command, cause), now_ms)
        if isinstance(decided, Refusal) and decided.reason == "not_armed":
            # An input of the same batch was faster; otherwise the index is wrong about the state.
            return None if timer.saga_id in shard.overlay else decided
        return decided

    def _timer_origin(self, shard: Shard) -> Origin:
        return Origin(self._events, shard.partition, -1)

    # --- deciding -------------------------------------------------------------------------------

    def _decide(self, shard: Shard, found: Lookup, read: Read, now_ms: int) -> _Decided | Refusal:
        state = found.state
        definition: Definition | None = None
        if read.known is not None:
            definition = read.known.definition
        elif state is not None:
            definition = self._catalog.of(state)
        decision = decide(definition, state, read.command, now_ms)
        if decision.rejection is not None:
            if decision.rejection.reason == "unknown_version" and state is not None:
                return Refusal(*self._catalog.missing(state))
            return Refusal(*decision.rejection)
        if not decision.events:
            return Refusal("not_armed", "no such timer is armed")
        caused = () if definition is None else effects(definition, decision)
        sequence = 1 if state is None else state.sequence + 1
        transition = Transition(
            read.saga_id, sequence, now_ms, read.cause, len(caused), decision.events
        )
        change = self._change(decision.state, found.timers_before)
        return self._records(shard, read, transition, caused, change)

    def _records(
        self,
        shard: Shard,
        read: Read,
        transition: Transition,
        caused: tuple[Effect, ...],
        change: Change,
    ) -> _Decided | Refusal:
        partition, key = shard.partition, read.saga_id.encode()
        value = self._codec.encode_transition(transition)
        records = [Record(self._events, partition, key, value)]
        outcomes_count = 0
        for effect in caused:
            if isinstance(effect, SendCommand):
                records.append(self._step_command(shard, key, effect, read.traceparent))
            else:
                outcome = self._codec.encode_outcome(_outcome(effect, transition.at_ms))
                records.append(Record(self._topics.outcomes, partition, key, outcome))
                outcomes_count += 1
        sizes = [len(record.value or b"") for record in records]
        largest = max(*sizes, len(change.snapshot or b""))
        if largest > self._record_bytes_max:
            limit = self._record_bytes_max
            text = f"would write a record of {largest} bytes; the limit is {limit}"
            return Refusal("too_large_effect", text)
        sends_count = len(caused) - outcomes_count
        return _Decided(
            records, change, read.saga_id, transition.events, sends_count, outcomes_count
        )

    def _change(self, state: SagaState | None, before: tuple[Timer, ...]) -> Change:
        if state is None:
            return Change(None, None, (), before)
        return Change(state, self._codec.encode_snapshot(state), timers(state), before)

    def _step_command(
        self, shard: Shard, key: bytes, effect: SendCommand, traceparent: bytes | None
    ) -> Record:
        topic, partitions, reply_topic = self._destinations[effect.participant]
        command = StepCommand(
            effect.effect_id,
            effect.saga_id,
            effect.step_id,
            effect.direction,
            effect.attempt,
            effect.due_ms,
            effect.command_type,
            reply_topic,
            shard.partition,
            effect.payload,
        )
        headers: tuple[tuple[str, bytes], ...] = (("id", effect.effect_id.encode()),)
        if traceparent is not None:
            headers = (*headers, ("traceparent", traceparent))
        # With as many partitions as shards, a saga's partition is its shard: no need to hash.
        same = partitions == self._partitions
        partition = shard.partition if same else partition_of(key, partitions)
        return Record(topic, partition, key, self._codec.encode_step_command(command), headers)


def _outcome(effect: Effect, now_ms: int) -> Outcome:
    assert not isinstance(effect, SendCommand)  # noqa: S101 - for the type checker
    return Outcome(
        effect.saga_id,
        effect.definition,
        effect.version,
        Phase(effect.phase).name.lower(),
        Consistency(effect.consistency).name.lower(),
        effect.sequence,
        effect.started_ms,
        now_ms,
        effect.result,
    )


def _brings_result(command: Command) -> bool:
    if isinstance(command, ReplyReceived):
        return command.outcome is ReplyOutcome.SUCCEEDED and command.direction == Direction.DO
    return isinstance(command, ResolveStep)


def _unless_ours(raised: guard.Raised) -> str:
    # A broken store, no memory or a registry that is away is not the input's fault: its shard, the
    # process or the batch must stop.
    if isinstance(raised.error, CorruptStore | MemoryError | TransactionError):
        raise raised.error
    return raised.text
