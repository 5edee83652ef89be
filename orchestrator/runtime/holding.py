"""Shards that wait for a topic: one that they must write takes no records, and nothing may be lost.

A shard whose record is refused for good can neither consume its input nor leave it out. So it is
held: halted with its positions where they are, while the others go on. Every so often the cluster
is asked whether the topic takes records again; then the shard is taken over as if it had just come.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol

from orchestrator.codec.envelope import Record
from orchestrator.codec.keys import REROUTED
from orchestrator.errors import MustAbort, TransactionError, Unreachable, Unwritable
from orchestrator.kafka.base import TopicPartition
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.observability.log import Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.shard import Halt, Shard, ShardStatus

REASON = "unwritable"
PAUSE_S = 1.0
"""How long a shard is held before its topic is looked at again; each time in a row twice as long."""
PAUSE_S_MAX = 30.0
"""So late a shard may notice that its topic is well. A topic that only refuses what is too large
cannot be asked: then a transaction is tried, which costs the others some 50 ms each time."""


class Asked(Protocol):
    """What is asked of the cluster."""

    def refusals(self, partitions: Collection[TopicPartition]) -> Mapping[TopicPartition, str]:
        """Those of these that we may not write to, or that do not exist, and why."""
        ...


class Holding:
    """The shards of one worker that wait for a topic."""

    def __init__(
        self,
        cluster: Asked,
        halt: Callable[[Shard, Halt], None],
        clock: Clock,
        log: Log,
        *,
        partitions: int,
        shared: Collection[str],
    ) -> None:
        """`partitions` is the number of shards, `shared` the topics that have another: participants'."""
        self._cluster = cluster
        self._halt = halt
        self._clock = clock
        self._log = log
        self._partitions = partitions
        self._shared = frozenset(shared)
        self._suspects: tuple[Record, ...] = ()
        """What the last transaction wrote, if it may be that a topic refused it."""
        self._refused: Mapping[TopicPartition, str] = {}
        self._held: dict[int, frozenset[TopicPartition]] = {}
        """Shard to what it waits for."""
        self._pause_s: dict[int, float] = {}
        """Shard to how long it was held last, until one of its transactions went through."""
        self._until_s: dict[int, float] = {}

    def failed(self, records: Iterable[Record], error: TransactionError) -> None:
        """Take note of a transaction that failed, and of what it was to write."""
        known = error.refused if isinstance(error, Unwritable) else ()
        self._refused = {TopicPartition(*pair): str(error) for pair in known}
        refused = isinstance(error, Unwritable | MustAbort)
        self._suspects = tuple(records) if refused else ()

    def succeeded(self, shards: Iterable[int]) -> None:
        """Take note that the records of these shards were written."""
        if self._pause_s:
            for shard in shards:
                self._pause_s.pop(shard, None)

    def hold(self, shards: Mapping[int, Shard]) -> bool:
        """Halt those whose records were refused in the transaction that failed; say whether any."""
        suspects, self._suspects = self._suspects, ()
        if not suspects:
            return False
        asked = self._ask(places_of(suspects)).items()
        refused = {place: f"{place.topic}: {why}" for place, why in asked} | dict(self._refused)
        waiting: dict[int, set[TopicPartition]] = {}
        for record in suspects:
            place = TopicPartition(record.topic, record.partition)
            if place in refused:
                waiting.setdefault(self._writer(record), set()).add(place)
        for number, places in waiting.items():
            shard = shards.get(number)
            if shard is not None and shard.status is not ShardStatus.HALTED:
                self._hold(shard, places, refused)
        return bool(waiting)

    def due(self, shards: Mapping[int, Shard]) -> Sequence[Shard]:
        """Give those held whose topics may be well again."""
        now_s = self._clock.monotonic_s()
        ready = []
        for number in [n for n, until_s in self._until_s.items() if until_s <= now_s]:
            shard = shards.get(number)
            if shard is None or shard.status is not ShardStatus.HALTED:
                self._forget(number)
            elif self._ask(self._held[number]):
                self._wait(number)
            else:
                self._forget(number)
                # Whatever happens before it is taken over: it is one of those to be taken over.
                shard.status = ShardStatus.RESTORING
                self._log.info("shard_retried", shard=number, reason=REASON)
                ready.append(shard)
        return ready

    def _hold(
        self, shard: Shard, places: set[TopicPartition], refused: Mapping[TopicPartition, str]
    ) -> None:
        self._held[shard.partition] = frozenset(places)
        self._wait(shard.partition)
        told = "; ".join(sorted({refused[place] for place in places}))
        text = f"a topic takes no records of this shard: {told}"
        self._halt(shard, Halt(REASON, text, Unwritable.operator_action))

    def _wait(self, number: int) -> None:
        pause_s = min(2 * self._pause_s.get(number, PAUSE_S / 2), PAUSE_S_MAX)
        self._pause_s[number] = pause_s
        self._until_s[number] = self._clock.monotonic_s() + pause_s

    def _forget(self, number: int) -> None:
        del self._held[number], self._until_s[number]

    def _ask(self, places: Collection[TopicPartition]) -> Mapping[TopicPartition, str]:
        try:
            return self._cluster.refusals(places)
        except Unreachable as error:  # then it is no topic's fault
            self._log.warning("cluster_unreachable", text=str(error))
            return {}

    def _writer(self, record: Record) -> int:
        """Tell which shard a record is of."""
        for name, value in record.headers:
            if name == REROUTED:  # it is on its way to another, and says where it lay
                return int(value.split(b"/")[-2])
        if record.topic in self._shared:
            return partition_of(record.key or b"", self._partitions)
        return record.partition


def places_of(records: Iterable[Record]) -> frozenset[TopicPartition]:
    """Where records are to be written."""
    return frozenset(TopicPartition(record.topic, record.partition) for record in records)
