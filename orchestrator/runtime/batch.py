"""From inputs to what a transaction will carry. Nothing is sent or stored here.

Every input is decided alone, on the shard's overlay, and adds its records only when all of them
exist: whatever goes wrong before leaves no trace but a dead letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

from orchestrator import guard
from orchestrator.codec.envelope import Envelope, Origin, Record, new_record
from orchestrator.codec.keys import REROUTED
from orchestrator.codec.limits import Limits
from orchestrator.codec.records import Cause, Outcome, StepCommand, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import StartSaga, TimerFired
from orchestrator.core.decide import decide
from orchestrator.core.effects import Effect, PublishOutcome, SendCommand
from orchestrator.core.events import (
    EVENT_NUMBERS,
    CompensationStuck,
    DeadlinePassed,
    Event,
    NodeFaulted,
    StepStuck,
)
from orchestrator.core.react import effects
from orchestrator.core.state import Consistency, Phase, Timer
from orchestrator.core.tuples import constructor
from orchestrator.errors import CorruptStore, DecodeError, DiskFailed, TransactionError
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.runtime.catalog import Catalog
from orchestrator.runtime.quarantine import Refusal, dead_letter
from orchestrator.runtime.reading import Read, Reader, Reroute, with_result
from orchestrator.runtime.shard import Change, Shard
from orchestrator.runtime.stages import Laps
from orchestrator.topics import Topics

_transition, _step_command = constructor(Transition), constructor(StepCommand)
_change = constructor(Change)
_ALERTS: dict[type[Event], str] = {
    StepStuck: "saga_stuck",
    CompensationStuck: "saga_stuck",
    NodeFaulted: "saga_faulted",
    DeadlinePassed: "deadline_passed",
}
_QUIET = frozenset(EVENT_NUMBERS) - _ALERTS.keys()
"""Events that nobody need be told of: nearly all."""


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
    laps: Laps | None = None
    """Times each input, if this transaction is one of those that are sampled."""
    records: list[Record] = field(default_factory=list)
    shards: dict[int, Shard] = field(default_factory=dict)
    """Touched ones, by partition."""
    work: list[Origin | Timer] = field(default_factory=list)
    """Every input and timer decided on, in order."""
    notes: list[Note] = field(default_factory=list)
    dead_letters: Counter[str] = field(default_factory=Counter)
    transitions: list[Transition] = field(default_factory=list)
    timers_count: int = 0
    rerouted_count: int = 0

    def events_by_type(self) -> Counter[type[Event]]:
        """How many events of each type the transitions have."""
        return Counter(map(type, chain.from_iterable(one.events for one in self.transitions)))


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
        self._reader = Reader(
            catalog=catalog, codec=codec, limits=limits, topics=topics, partitions=partitions
        )
        self._topics = topics
        self._partitions = partitions
        self._record_bytes_max = record_bytes_max
        self._least_bytes_max = min(limits.value_bytes_max, record_bytes_max)
        self._postpone_ms = postpone_ms
        self._worker = worker
        self._events, self._outcomes = topics.events, topics.outcomes
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
        """Decide on one record of an input topic. Raises CorruptStore and DiskFailed only."""
        found = guard.call(self._input, outbox, shard, envelope)
        if found is not None:
            if isinstance(found, guard.Raised):
                found = Refusal("poison", _unless_ours(found))
            if isinstance(found, Refusal):
                self.refuse(outbox, shard, envelope, found)
            else:
                self._reroute(outbox, envelope, found)
        self._consumed(outbox, shard, envelope.origin)

    def park(self, outbox: Outbox, shard: Shard, envelope: Envelope) -> None:
        """Dead-letter a record whose transaction was refused every time, without deciding on it."""
        text = "a transaction with this record alone was refused every time"
        self.refuse(outbox, shard, envelope, Refusal("poison", text))
        self._consumed(outbox, shard, envelope.origin)

    def fire(self, outbox: Outbox, shard: Shard, timer: Timer) -> None:
        """Decide on a due timer. One that cannot be fired rests. Raises as `take`."""
        changed = shard.is_changing(timer.saga_id)
        found = guard.call(self._timer, outbox, shard, timer)
        if found is None:
            outbox.shards[shard.partition] = shard
            outbox.work.append(timer)
            outbox.timers_count += 1
            return
        if isinstance(found, guard.Raised):
            found = Refusal("poison", _unless_ours(found))
        if found.reason == "not_armed" and changed:
            return  # an input, or this very timer, was faster
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

    def _reroute(self, outbox: Outbox, envelope: Envelope, found: Reroute) -> None:
        headers = tuple((name, value or b"") for name, value in envelope.headers)
        mark = (REROUTED, "{}/{}/{}".format(*envelope.origin).encode())
        topic, key = envelope.origin.topic, envelope.key or b""
        record = Record(topic, found.partition, key, envelope.value, (*headers, mark))
        outbox.records.append(record)
        outbox.rerouted_count += 1

    def _consumed(self, outbox: Outbox, shard: Shard, origin: Origin) -> None:
        shard.moved[origin.topic] = origin.offset + 1
        outbox.shards[shard.partition] = shard
        outbox.work.append(origin)

    def _input(self, outbox: Outbox, shard: Shard, envelope: Envelope) -> Refusal | Reroute | None:
        laps = outbox.laps
        if laps is not None:
            laps.begin()
        try:
            read = self._reader.read(shard.partition, envelope)
            if laps is not None:
                laps.lap("decode")
            if not isinstance(read, Read):
                return read
            return self._decide(outbox, shard, read)
        except DecodeError as error:
            return Refusal(error.reason, error.text)

    def _timer(self, outbox: Outbox, shard: Shard, timer: Timer) -> Refusal | None:
        if outbox.laps is not None:
            outbox.laps.begin()
        cause = Cause("timer", self._timer_origin(shard), "")
        command = TimerFired(timer.saga_id, timer.step, timer.due_ms)
        return self._decide(outbox, shard, Read(command, cause, None, None))

    def _timer_origin(self, shard: Shard) -> Origin:
        return Origin(self._events, shard.partition, -1)

    # --- deciding -------------------------------------------------------------------------------

    def _decide(self, outbox: Outbox, shard: Shard, read: Read) -> Refusal | None:
        command, cause, known, traceparent = read
        saga_id = command.saga_id
        state, before = shard.look_up(saga_id)
        if state is not None:
            known = self._catalog.of(state)
        if state is None and known is None and isinstance(command, StartSaga):
            return Refusal(*self._catalog.unknown(command.definition, command.version))
        command = with_result(command, state, known)
        definition = None if known is None else known.definition
        now_ms = shard.tick(outbox.now_ms)
        decision = decide(definition, state, command, now_ms)
        events, after, rejection = decision
        if rejection is not None:
            if rejection.reason == "unknown_version" and state is not None:
                return Refusal(*self._catalog.missing(state))
            return Refusal(*rejection)
        if not events:
            return Refusal("not_armed", "no such timer is armed")
        caused = () if definition is None else effects(definition, decision)
        if outbox.laps is not None:
            outbox.laps.lap("decide")
        sequence = 1 if state is None else state.sequence + 1
        transition = _transition(saga_id, sequence, now_ms, cause, len(caused), events)
        records = self._records(shard, transition, caused, traceparent)
        snapshot = None if after is None else self._codec.encode_snapshot(after)
        change = _change(after, snapshot, before)
        refusal = self._too_large(records, change)
        if refusal is None:
            shard.overlay[saga_id] = change
            outbox.records.extend(records)
            outbox.transitions.append(transition)
            if not _QUIET.issuperset(map(type, events)):
                _note_alerts(outbox, shard, transition)
        if outbox.laps is not None:
            outbox.laps.lap("encode")
        return refusal

    def _records(
        self,
        shard: Shard,
        transition: Transition,
        caused: Sequence[Effect],
        traceparent: bytes | None,
    ) -> list[Record]:
        partition, key = shard.partition, transition.saga.encode()
        value = self._codec.encode_transition(transition)
        records = [new_record(self._events, partition, key, value)]
        for effect in caused:
            if isinstance(effect, SendCommand):
                records.append(self._step_command(partition, key, effect, traceparent))
            else:
                value = self._codec.encode_outcome(_outcome(effect, transition.at_ms))
                records.append(new_record(self._outcomes, partition, key, value))
        return records

    def _too_large(self, records: Sequence[Record], change: Change) -> Refusal | None:
        largest = max([len(record[3] or b"") for record in records])
        if max(largest, len(change.snapshot or b"")) <= self._least_bytes_max:
            return None
        for place, value in enumerate((change.snapshot, *[record[3] for record in records])):
            own = place == 0 or records[place - 1].topic in {self._events, self._outcomes}
            # What participants take may be less than what we write.
            limit = self._record_bytes_max if own else self._least_bytes_max
            if value is not None and len(value) > limit:
                text = f"would write a record of {len(value)} bytes; the limit is {limit}"
                return Refusal("too_large_effect", text)
        return None

    def _step_command(
        self, shard: int, key: bytes, effect: SendCommand, traceparent: bytes | None
    ) -> Record:
        id_, saga, step, direction, attempt, due_ms, participant, type_, payload = effect
        topic, partitions, reply_topic = self._destinations[participant]
        command = _step_command(
            id_, saga, step, direction, attempt, due_ms, type_, reply_topic, shard, payload
        )
        headers: tuple[tuple[str, bytes], ...] = (("id", id_.encode()),)
        if traceparent is not None:
            headers = (*headers, ("traceparent", traceparent))
        # With as many partitions as shards, a saga's partition is its shard: no need to hash.
        same = partitions == self._partitions
        partition = shard if same else partition_of(key, partitions)
        return new_record(topic, partition, key, self._codec.encode_step_command(command), headers)


def _note_alerts(outbox: Outbox, shard: Shard, transition: Transition) -> None:
    for event in transition.events:
        alert = _ALERTS.get(type(event))
        if alert is not None:
            reason = str(getattr(event, "reason", ""))
            cause = transition.cause.origin
            note = Note(alert, reason, transition.saga, shard.partition, cause)
            outbox.notes.append(note)


def _outcome(effect: PublishOutcome, now_ms: int) -> Outcome:
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


def _unless_ours(raised: guard.Raised) -> str:
    # A broken store or disk, no memory, a registry that is away: not the input's fault. Its shard,
    # the process or the batch must stop.
    if isinstance(raised.error, CorruptStore | DiskFailed | MemoryError | TransactionError):
        raise raised.error
    return raised.text
