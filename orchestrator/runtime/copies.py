"""Copies of shards that somebody else owns: local stores kept warm from the changelog.

Used by the standby process, and by a worker that warms up before it joins. Whatever is read is
written in whole transactions, so that a copy is at any moment a state that its owner once had.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.keys import BARRIER_KEY, CURSOR_KEY
from orchestrator.errors import ConfigurationError, CorruptStore, DecodeError, Unreachable
from orchestrator.kafka.base import Position, Tail, TopicPartition
from orchestrator.observability.log import Bounded, Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.disk import DiskWatch
from orchestrator.runtime.recovery import Cluster
from orchestrator.runtime.restore import Armed, Shelf, entries_of
from orchestrator.store.base import Batch, ShardStore

POLL_COUNT = 1_000
"""Records a batch at most."""
_UNCLOSED_COUNT_MAX = 20_000
"""Records held back until a cursor closes their transaction. Beyond, they are of a history whose
cursors compaction has removed: it has no transactions any more, and is written as it comes."""
_CLOSING = frozenset({CURSOR_KEY, BARRIER_KEY})


class Copy:
    """One shard's store, and what was read for it but is not yet a whole transaction."""

    def __init__(self, partition: int, store: ShardStore) -> None:
        self.partition = partition
        self.store = store
        self.unclosed: list[Envelope] = []
        self.reached = 0
        """An end of the changelog up to which nothing is missing here; 0: none was reached yet."""
        self.begun_anew = False
        self.armed = Armed(store)

    @property
    def position(self) -> int:
        """Everything below this offset is in the store. Passes markers, which no record shows."""
        return max(self.store.position(), self.reached)

    def sync(self, now_ms: int) -> None:
        """Note that the store holds all that was committed until now."""
        self.store.apply(Batch(self.position, now_ms))


def closed_count(envelopes: Sequence[Envelope]) -> int:
    """How many of these records, from the first on, make up whole transactions."""
    for count in range(len(envelopes), 0, -1):
        if envelopes[count - 1].key in _CLOSING:
            return count
    return 0


class Copies:
    """Follows the changelog into the stores of some shards. One thread; `close` lets all go."""

    def __init__(
        self,
        *,
        changelog: str,
        shelf: Shelf,
        tail: Tail,
        cluster: Cluster,
        disk: DiskWatch,
        clock: Clock,
        log: Log,
    ) -> None:
        self._changelog = changelog
        self._shelf = shelf
        self._tail = tail
        self._cluster = cluster
        self._disk = disk
        self._clock = clock
        self._log = log
        self._notes = Bounded(log, monotonic_s=clock.monotonic_s)
        self._copies: dict[int, Copy] = {}
        self._unreadable: set[int] = set()
        """Shards whose changelog this program cannot read."""
        self._told: dict[int, int] = {}
        """Positions as last committed."""

    @property
    def followed(self) -> frozenset[int]:
        """The shards whose stores are open here."""
        return frozenset(self._copies)

    @property
    def paused(self) -> bool:
        """Whether the disk has too little room for copies."""
        return self._disk.is_low()

    def follow(self, wanted: Collection[int]) -> None:
        """Follow these shards and no others. One whose store cannot be had now is left out."""
        self.release(self.followed - frozenset(wanted))
        for partition in sorted(frozenset(wanted) - self.followed - self._unreadable):
            try:
                self._take_up(partition)
            except Unreachable as error:
                self._notes.warning("cluster_unreachable", "unreachable", text=str(error))
                return
            except ConfigurationError as error:
                # Another process has the store, for now: nothing is harmed, we ask again.
                self._notes.warning("store_held", "held", shard=partition, text=str(error))

    def release(self, partitions: Iterable[int]) -> None:
        """Close the stores of these shards: when this returns, their files are anybody's."""
        for partition in partitions:
            copy = self._copies.pop(partition, None)
            if copy is None:
                continue
            self._tail.forget(TopicPartition(self._changelog, partition))
            position = copy.position
            copy.store.close()
            self._log.info("copy_released", shard=partition, position=position)

    def close(self) -> None:
        """Let all shards go."""
        self.release(self.followed)
        self._tail.close()

    def pump(self, timeout_s: float) -> int:
        """Read and write one batch, waiting up to `timeout_s` for it; give how many records came.

        Returns at once if there is nothing to follow, or no room.
        """
        if not self._copies:
            return 0
        if self._disk.is_low():
            self._notes.warning("copies_paused", "disk_low", free_bytes=self._disk.free_bytes)
            return 0
        tailed = self._tail.poll(POLL_COUNT, timeout_s)
        for partition, envelopes in groupby(tailed.records, lambda e: e.origin.partition):
            copy = self._copies.get(partition)
            if copy is not None:
                self._guarded(copy, list(envelopes))
        for partition, text in tailed.lost.items():
            copy = self._copies.get(partition)
            if copy is not None:
                self._lost(copy, text)
        for partition, end in tailed.ends.items():
            copy = self._copies.get(partition)
            if copy is not None and not copy.unclosed:
                self._caught_up(copy, end)
        return len(tailed.records)

    def lags(self) -> Mapping[int, int]:
        """Offsets that each copy is behind, by what the cluster says. Raises Unreachable.

        Those that are not behind note that they are not.
        """
        pairs = [TopicPartition(self._changelog, partition) for partition in self._copies]
        found = {}
        for pair, end in self._cluster.end_offsets(pairs).items():
            copy = self._copies[pair.partition]
            found[pair.partition] = max(0, end - copy.position)
            if copy.position >= end:
                copy.sync(self._clock.now_ms())
        return found

    def report(self) -> None:
        """Commit the positions that have moved, for whoever looks."""
        now = {partition: copy.position for partition, copy in self._copies.items()}
        moved = {p: position for p, position in now.items() if position != self._told.get(p)}
        if moved:
            self._tail.commit([Position(self._changelog, p, at) for p, at in moved.items()])
            self._told.update(moved)

    # --- one shard ------------------------------------------------------------------------------

    def _take_up(self, partition: int) -> None:
        there = TopicPartition(self._changelog, partition)
        start = self._cluster.start_offsets([there])[there]
        end = self._cluster.end_offsets([there])[there]
        store = self._shelf.open(partition)
        reason = self._shelf.distrust(store, partition, start=start, end=end)
        if reason is not None:
            store = self._shelf.begin_anew(store, partition, reason)
        self._copies[partition] = Copy(partition, store)
        position = store.position()
        self._tail.follow(Position(self._changelog, partition, position))
        self._log.info("copy_followed", shard=partition, position=position, end=end)

    def _guarded(self, copy: Copy, envelopes: list[Envelope]) -> None:
        try:
            self._write(copy, envelopes)
        except CorruptStore as error:
            self._begin_anew(copy, "corrupt", str(error))
        except DecodeError as error:
            self._give_up(copy, str(error))

    def _lost(self, copy: Copy, text: str) -> None:
        if copy.begun_anew:
            self._give_up(copy, text)
        else:
            self._begin_anew(copy, "does_not_fit_changelog", text)

    def _give_up(self, copy: Copy, text: str) -> None:
        self._log.error("copy_given_up", shard=copy.partition, text=text)
        self._unreadable.add(copy.partition)
        self.release([copy.partition])

    def _write(self, copy: Copy, envelopes: list[Envelope]) -> None:
        unclosed = [*copy.unclosed, *envelopes] if copy.unclosed else envelopes
        count = closed_count(unclosed)
        if not count and len(unclosed) > _UNCLOSED_COUNT_MAX:
            count = len(unclosed)
        copy.unclosed = unclosed[count:]
        if count:
            self._shelf.apply(copy.store, entries_of(unclosed[:count]), copy.armed)

    def _begin_anew(self, copy: Copy, reason: str, text: str) -> None:
        copy.store = self._shelf.begin_anew(copy.store, copy.partition, reason, text)
        copy.unclosed, copy.reached, copy.armed, copy.begun_anew = [], 0, Armed(copy.store), True
        self._tail.follow(Position(self._changelog, copy.partition, 0))

    def _caught_up(self, copy: Copy, end: int) -> None:
        is_first = not copy.reached
        copy.reached = max(copy.reached, end)
        if is_first:
            copy.sync(self._clock.now_ms())
            self._log.info("copy_caught_up", shard=copy.partition, position=copy.position)
