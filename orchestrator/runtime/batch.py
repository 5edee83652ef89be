"""From inputs to what a transaction will carry. Nothing is sent or stored here.

A batch goes through three stages, read, decide, write, and each stage through the whole batch before
the next begins: the same few functions again and again cost a processor three quarters of what they
cost in turns. Only then are records and changes added, input by input: whatever goes wrong with one
before leaves no trace but a dead letter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import NamedTuple, cast

from orchestrator.codec.envelope import Envelope, Origin, Record
from orchestrator.codec.keys import REROUTED
from orchestrator.codec.limits import Limits
from orchestrator.codec.records import Cause, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import TimerFired
from orchestrator.core.events import (
    EVENT_NUMBERS,
    CompensationStuck,
    DeadlinePassed,
    Event,
    NodeFaulted,
    StepStuck,
)
from orchestrator.core.state import Timer
from orchestrator.runtime.catalog import Catalog
from orchestrator.runtime.deciding import NOT_ARMED, Decided, Decider
from orchestrator.runtime.quarantine import Refusal, dead_letter
from orchestrator.runtime.reading import Read, Reader, Reroute, Understood
from orchestrator.runtime.shard import Change, Shard
from orchestrator.runtime.stages import Stages
from orchestrator.runtime.writing import Writer, Written
from orchestrator.topics import Topics

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
    """What one transaction will carry, growing batch by batch."""

    now_ms: int
    stages: Stages | None = None
    """Is told what each stage takes."""
    records: list[Record] = field(default_factory=list)
    shards: dict[int, Shard] = field(default_factory=dict)
    """Touched ones, by partition."""
    work: list[Origin | Timer] = field(default_factory=list)
    """Every input and timer decided on, in order."""
    notes: list[Note] = field(default_factory=list)
    dead_letters: Counter[str] = field(default_factory=Counter)
    transitions_count: int = 0
    event_types: list[type[Event]] = field(default_factory=list)
    """Of every event of every transition."""
    timers_count: int = 0
    rerouted_count: int = 0
    bytes_count: int = 0
    """What all values together weigh, states included."""

    def lap(self, stage: str) -> None:
        """Say that a stage has ended."""
        if self.stages is not None:
            self.stages.lap(stage)


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
        self._codec = codec
        self._reader = Reader(
            catalog=catalog, codec=codec, limits=limits, topics=topics, partitions=partitions
        )
        self._decider = Decider(catalog)
        self._writer = Writer(
            codec=codec,
            topics=topics,
            partitions=partitions,
            participant_partitions={
                name: participant_partitions[name] for name in catalog.participants
            },
            record_bytes_max=record_bytes_max,
            command_bytes_max=limits.value_bytes_max,
        )
        self._topics = topics
        self._record_bytes_max = record_bytes_max
        self._postpone_ms = postpone_ms
        self._worker = worker

    # --- the two kinds of input -----------------------------------------------------------------

    def take(self, outbox: Outbox, shard: Shard, envelopes: Sequence[Envelope]) -> None:
        """Decide on records of input topics, all of one shard, in order.

        Raises CorruptStore, DiskFailed and TransactionError: then the transaction must be forgotten.
        """
        if not envelopes:
            return
        understood = self._reader.read(shard.partition, envelopes)
        outbox.lap("decode")
        for envelope, found in zip(envelopes, self._add(outbox, shard, understood), strict=True):
            if isinstance(found, Refusal):
                self._refuse(outbox, shard, envelope, found)
            elif found is not None:
                self._reroute(outbox, envelope, found)
        _consumed(outbox, shard, envelopes)

    def park(self, outbox: Outbox, shard: Shard, envelope: Envelope) -> None:
        """Dead-letter a record whose transaction was refused every time, without deciding on it."""
        text = "a transaction with this record alone was refused every time"
        self._refuse(outbox, shard, envelope, Refusal("poison", text))
        _consumed(outbox, shard, (envelope,))

    def fire(self, outbox: Outbox, shard: Shard, due: Sequence[Timer]) -> None:
        """Decide on due timers of one shard. Those that cannot be fired rest. Raises as `take`."""
        if not due:
            return
        cause = Cause("timer", self._timer_origin(shard), "")
        reads = [
            Read(TimerFired(timer.saga_id, timer.step, timer.due_ms), cause, None, None)
            for timer in due
        ]
        changed = {timer.saga_id for timer in due if shard.is_changing(timer.saga_id)}
        for timer, found in zip(due, self._add(outbox, shard, reads), strict=True):
            if found is None:
                outbox.shards[shard.partition] = shard
                outbox.work.append(timer)
                outbox.timers_count += 1
                changed.add(timer.saga_id)
            elif isinstance(found, Refusal):
                was_overtaken = found.reason == NOT_ARMED and timer.saga_id in changed
                if not was_overtaken:  # by an input, or another timer
                    self.rest(outbox, shard, timer, found)

    def rest(self, outbox: Outbox, shard: Shard, timer: Timer, refusal: Refusal) -> None:
        """Let a timer that cannot be fired rest for a while."""
        shard.postpone(timer, outbox.now_ms + self._postpone_ms)
        origin = self._timer_origin(shard)
        note = Note("timer_postponed", refusal.reason, timer.saga_id, shard.partition, origin)
        outbox.notes.append(note)

    def _timer_origin(self, shard: Shard) -> Origin:
        return Origin(self._topics.events, shard.partition, -1)

    # --- deciding -------------------------------------------------------------------------------

    def _add(
        self, outbox: Outbox, shard: Shard, inputs: Sequence[Understood]
    ) -> list[Refusal | Reroute | None]:
        """Add what inputs do, in order; give for each None, or what else must be done with it."""
        decided = self._decider.decide(shard, shard.tick(outbox.now_ms), inputs)
        outbox.lap("decide")
        fit = [one for one in decided if isinstance(one, Decided)]
        written = self._writer.write(shard.partition, fit, shard.overlay)
        refused = written.refusals()
        if not refused:
            _apply(outbox, shard, fit, written)
            results: list[Refusal | Reroute | None] = [
                None if isinstance(one, Decided) else one for one in decided
            ]
        elif len(inputs) == 1:
            results = [refused[0]]
        else:
            spoilt = {fit[place].transition.saga for place in refused}
            _apply(outbox, shard, *_without(spoilt, fit, written))
            results = []
            for read, one in zip(inputs, decided, strict=True):
                if isinstance(read, Read) and _saga(read) in spoilt:
                    # What came after it was decided on a state that will never be: each again, alone.
                    results += self._add(outbox, shard, (read,))
                else:
                    results.append(None if isinstance(one, Decided) else one)
        outbox.lap("encode")
        return results

    # --- what cannot be decided here ------------------------------------------------------------

    def _refuse(self, outbox: Outbox, shard: Shard, envelope: Envelope, refusal: Refusal) -> None:
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
        outbox.bytes_count += len(value)
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
        outbox.bytes_count += len(envelope.value or b"")
        outbox.rerouted_count += 1


def _consumed(outbox: Outbox, shard: Shard, envelopes: Sequence[Envelope]) -> None:
    origins = [envelope.origin for envelope in envelopes]
    shard.moved.update({topic: offset + 1 for topic, _, offset in origins})
    outbox.shards[shard.partition] = shard
    outbox.work += origins


def _saga(read: Read) -> str:
    return read.command.saga_id


def _without(
    sagas: set[str], decided: list[Decided], written: Written
) -> tuple[list[Decided], Written]:
    """What was decided and written, but for some sagas."""
    kept = [one.transition.saga not in sagas for one in decided]
    transitions, caused, changes = written
    left = Written(
        list(compress(transitions, kept)),
        list(compress(caused, kept)),
        list(compress(changes, kept)),
    )
    return list(compress(decided, kept)), left


def _apply(outbox: Outbox, shard: Shard, decided: list[Decided], written: Written) -> None:
    """Add what was written, of which nothing is a refusal."""
    records = cast("list[Record]", [*written.transitions, *chain.from_iterable(written.caused)])
    outbox.records += records
    bytes_count = sum([len(value or b"") for _, _, _, value, _ in records])
    overlay = shard.overlay
    transitions = [one[0] for one in decided]
    changes = cast("list[Change]", written.changes)
    for (saga_id, _, _, _, _, _), change in zip(transitions, changes, strict=True):
        last = overlay.get(saga_id)
        bytes_count += change[3] if last is None else change[3] - last[3]
        overlay[saga_id] = change
    outbox.bytes_count += bytes_count
    outbox.transitions_count += len(transitions)
    types = list(map(type, chain.from_iterable([transition[5] for transition in transitions])))
    outbox.event_types += types
    if not _QUIET.issuperset(types):
        for transition in transitions:
            _note_alerts(outbox, shard, transition)


def _note_alerts(outbox: Outbox, shard: Shard, transition: Transition) -> None:
    for event in transition.events:
        alert = _ALERTS.get(type(event))
        if alert is not None:
            reason = str(getattr(event, "reason", ""))
            cause = transition.cause.origin
            note = Note(alert, reason, transition.saga, shard.partition, cause)
            outbox.notes.append(note)
