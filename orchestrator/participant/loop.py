"""The loop of a participant's process: read, handle, write down, reply, commit.

Whenever it dies, what was not committed is read again and answered from the ledger.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from orchestrator.codec.envelope import Envelope, Record
from orchestrator.codec.records import DeadLetter
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import ConfigurationError, Retriable
from orchestrator.kafka.base import (
    Assigned,
    FaultKind,
    Polled,
    Position,
    ReadFault,
    Source,
    TopicPartition,
)
from orchestrator.observability.lean import structlog
from orchestrator.participant.appetite import Appetite
from orchestrator.participant.dispatch import Answered, Dispatcher
from orchestrator.participant.inbox import Refusal

_log = structlog.get_logger()
POLL_S = 0.1
"""How long an idle process waits for a command, and so how late it sees that it should stop."""
ASKED_S = 0.01
"""How often, while commands are handled, it is asked whether to stop: asking is a system call."""
COMMITTED_S = 10.0
LETTER_VALUE_BYTES_MAX = 900_000
"""Of a refused record's value in its dead letter: with the rest it must fit into a record."""
BEGINNING = -2
"""Kafka's name for the first record that there is."""


class Inlet(Source, Protocol):
    """A group member that keeps its positions in the group."""

    def store(self, positions: Sequence[Position]) -> None:
        """Have it written down, soon, how far this group has read.

        Raises Retriable if a partition is not ours any more.
        """
        ...


class Outlet(Protocol):
    """An idempotent producer."""

    def send(self, records: Iterable[Record]) -> None:
        """Send records and wait until brokers have them all. Raises Retriable if one is lost."""
        ...


@dataclass(slots=True)
class Totals:
    """What a participant has done since it started."""

    batches_count: int = 0
    ran_count: int = 0
    """Handlers run."""
    repeated_count: int = 0
    """Commands answered from the ledger."""
    retried_count: int = 0
    """Commands answered RETRY."""
    refused: Counter[str] = field(default_factory=Counter)
    """Records refused, by reason."""

    def add(self, answered: Answered) -> None:
        """Count a batch."""
        self.batches_count += 1
        self.ran_count += answered.counts.ran
        self.repeated_count += answered.counts.repeated
        self.retried_count += answered.counts.retried
        if answered.refusals:
            self.refused.update(refusal.reason for refusal in answered.refusals)


@dataclass(slots=True)
class Loop:
    """One participant's process."""

    name: str
    inlet: Inlet
    outlet: Outlet
    dispatcher: Dispatcher
    codec: RecordCodec
    letters_topic: str
    """Where refused records go; empty if there is no such topic, and then they are only logged."""
    appetite: Appetite
    handling_s_max: float
    now_ms: Callable[[], int]
    monotonic_s: Callable[[], float] = time.monotonic
    totals: Totals = field(default_factory=Totals)

    def run(self, stopping: Callable[[], bool]) -> None:
        """Run until `stopping`; then what runs is finished, written down and answered.

        Raises ConfigurationError, CorruptStore, Fenced or Retriable when it cannot go on; a new
        process then takes up where this one left.
        """
        while not stopping():
            self.turn(stopping)

    def turn(self, stopping: Callable[[], bool]) -> None:
        """Read one batch and answer it."""
        polled = self.inlet.poll_batch(self.appetite.count, POLL_S)
        self._rebalance(polled)
        for fault in polled.faults:
            self._heed(fault)
        if not polled.records:
            return
        began_s = self.monotonic_s()
        answered = self.dispatcher.process(polled.records, self._may_begin(stopping))
        self.totals.add(answered)
        letters = self._letters(answered.refusals) if answered.refusals else ()
        handled_s = self.monotonic_s()
        self.outlet.send([*answered.replies, *letters])
        sent_s = self.monotonic_s()
        self.appetite.fed(len(polled.records), handled_s - began_s, sent_s - handled_s)
        self._advance(polled.records, answered.left)

    def _may_begin(self, stopping: Callable[[], bool]) -> Callable[[], bool]:
        """Say before each command whether there is time for it; `stopping` is not asked each time."""
        monotonic_s = self.monotonic_s
        until_s = monotonic_s() + self.handling_s_max
        ask_s = 0.0

        def may_begin() -> bool:
            nonlocal ask_s, until_s
            now_s = monotonic_s()
            if now_s >= ask_s:
                ask_s = now_s + ASKED_S
                if stopping():
                    until_s = now_s
            return now_s < until_s

        return may_begin

    def _rebalance(self, polled: Polled) -> None:
        for change in polled.rebalances:
            _log.info("rebalance", kind=type(change).__name__, partitions=len(change.partitions))
            if isinstance(change, Assigned):
                self._take(change.partitions)

    def _take(self, partitions: Sequence[TopicPartition]) -> None:
        found = self.inlet.committed(partitions, COMMITTED_S) if partitions else {}
        offsets = {pair: found.get(pair) for pair in partitions}
        self.inlet.assign(
            [
                Position(pair.topic, pair.partition, BEGINNING if offset is None else offset)
                for pair, offset in offsets.items()
            ]
        )

    def _heed(self, fault: ReadFault) -> None:
        if fault.kind in (FaultKind.GONE, FaultKind.FORBIDDEN):
            raise ConfigurationError(f"{fault.topic or 'Kafka'} cannot be read: {fault.text}")
        _log.warning("read_fault", kind=fault.kind, topic=fault.topic, text=fault.text)
        if fault.kind == FaultKind.OUT_OF_RANGE:
            # Commands were deleted before they were read. Their sagas will ask again.
            self.inlet.seek(Position(fault.topic, fault.partition, BEGINNING))
        elif fault.kind == FaultKind.BAD_RECORD and fault.offset >= 0:
            self.inlet.seek(Position(fault.topic, fault.partition, fault.offset + 1))

    def _letters(self, refusals: Sequence[Refusal]) -> list[Record]:
        for refusal in refusals:
            origin = refusal.envelope.origin
            cause = f"{origin.topic}/{origin.partition}/{origin.offset}"
            _log.error("command_refused", reason=refusal.reason, text=refusal.text, cause=cause)
        if not self.letters_topic:
            return []
        return [self._letter(refusal) for refusal in refusals]

    def _letter(self, refusal: Refusal) -> Record:
        found = refusal.envelope
        letter = DeadLetter(
            refusal.reason,
            refusal.text,
            found.origin,
            found.key,
            None if found.value is None else found.value[:LETTER_VALUE_BYTES_MAX],
            found.headers,
            found.timestamp_ms,
            self.now_ms(),
            self.name,
        )
        value = self.codec.encode_dead_letter(letter)
        return Record(self.letters_topic, 0, found.key or b"", value)

    def _advance(self, records: Sequence[Envelope], left: Sequence[Envelope]) -> None:
        ends: dict[tuple[str, int], int] = {}
        for topic, partition, offset in {record[0][:2]: record[0] for record in records}.values():
            ends[topic, partition] = offset + 1  # the last of each, as they come in order
        for (topic, partition, offset), *_ in left:
            ends[topic, partition] = min(ends[topic, partition], offset)
        positions = [Position(*pair, offset) for pair, offset in ends.items()]
        try:
            self.inlet.store(positions)
        except Retriable as error:
            # The group has changed: they are read and answered again.
            _log.warning("positions_not_stored", text=str(error))
        again = {envelope.origin[:2] for envelope in left}
        for position in positions:
            if position[:2] in again:
                self.inlet.seek(position)
