"""The commit: everything a batch decided goes to Kafka in one transaction, then to the store.

The steps are numbered as in docs/internals.md. The store is told only after Kafka has
acknowledged the commit, in one batch a shard that carries the cursor: a crash anywhere leaves a
store that is behind at most, never ahead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orchestrator.codec.envelope import Record, new_record
from orchestrator.codec.keys import BARRIER_KEY, CURSOR_KEY, SNAPSHOT_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import MustAbort
from orchestrator.kafka.base import GroupMetadata, Position, Sink, TopicPartition
from orchestrator.runtime.batch import Outbox
from orchestrator.runtime.crash_points import CrashPoint, reach
from orchestrator.runtime.shard import Shard
from orchestrator.topics import Topics


class Sealed:
    """A shard's part of a transaction: the cursor that closes it."""

    __slots__ = ("cursor", "encoded", "shard")

    def __init__(self, shard: Shard, cursor: Cursor, encoded: bytes) -> None:
        self.shard = shard
        self.cursor = cursor
        self.encoded = encoded


class Pending(NamedTuple):
    """A transaction whose records are with the client library."""

    outbox: Outbox
    sealed: tuple[Sealed, ...]
    positions: tuple[Position, ...]
    group: GroupMetadata


class Transactor:
    """Commits what an `Outbox` holds, in three parts.

    `open` and `settle` touch the shards; `complete` waits for Kafka and touches nothing of ours, so
    that another thread may run it.
    """

    def __init__(
        self, *, sink: Sink, codec: RecordCodec, topics: Topics, owner: str, partitions: int
    ) -> None:
        self._sink = sink
        self._codec = codec
        self._changelog = topics.changelog
        self._dead_letters = topics.dead_letters
        self._owner = owner
        self._partitions = partitions

    def commit(self, outbox: Outbox, group: GroupMetadata) -> None:
        """Run steps S4 to S10. Raises TransactionError: then nothing local has changed."""
        pending = self.open(outbox, group)
        self.settle(pending, self.complete(pending))

    def open(self, outbox: Outbox, group: GroupMetadata) -> Pending:
        """Run steps S4 to S6: hand everything over, and seal it. Raises TransactionError."""
        if not group.live:
            raise MustAbort("not a member of the group just now: a rebalance is under way")
        pending = Pending(
            outbox,
            tuple(self._seal(shard, outbox, group) for shard in outbox.shards.values()),
            tuple(positions(outbox)),
            group,
        )
        records = places_first([*outbox.records, *snapshots(outbox, self._changelog, self._codec)])
        letters: list[Record] = []
        if outbox.dead_letters:
            # Only a tracked record tells who refused it; these are rare.
            letters = [record for record in records if record.topic == self._dead_letters]
            records = [record for record in records if record.topic != self._dead_letters]
        reach(CrashPoint.C02)
        if outbox.timers_count:
            reach(CrashPoint.C15)
        self._sink.begin()  # S4
        self._send(records, letters, pending.sealed)  # S6
        for shard in outbox.shards.values():
            shard.seal()
        return pending

    def complete(self, pending: Pending) -> Mapping[TopicPartition, int]:
        """Run steps S7 and S8. Raises TransactionError."""
        self._sink.send_offsets(pending.positions, pending.group)  # S7
        reach(CrashPoint.C06)
        reach(CrashPoint.C07)
        reach(CrashPoint.C08)
        offsets = self._sink.commit()  # S8
        reach(CrashPoint.C09)
        return offsets

    def settle(self, pending: Pending, offsets: Mapping[TopicPartition, int]) -> None:
        """Run step S9: the store, now that it is committed."""
        reach(CrashPoint.C10)
        for one in pending.sealed:
            partition = TopicPartition(self._changelog, one.shard.partition)
            position = offsets[partition] + 1
            one.shard.settle(one.cursor, one.encoded, position, pending.outbox.now_ms)
        reach(CrashPoint.C11)

    def barrier(self, shards: list[Shard], group: GroupMetadata) -> dict[int, int]:
        """Write a barrier to the changelog of each shard; give its offset by partition.

        Its value says who we are: until our first transaction nothing else there does.
        The committed position that a transaction needs as its fence is the changelog's own: nobody
        reads it, so no input's position is ever set back. Raises TransactionError.
        """
        if not group.live:
            raise MustAbort("not a member of the group just now: a rebalance is under way")
        self._sink.begin()
        for shard in shards:
            record = Record(self._changelog, shard.partition, BARRIER_KEY, self._owner.encode())
            self._sink.send(record, track=True)
        fence = [Position(self._changelog, s.partition, s.store.position()) for s in shards]
        self._sink.send_offsets(fence, group)
        offsets = self._sink.commit()
        reach(CrashPoint.C14)
        return {
            shard.partition: offsets[TopicPartition(self._changelog, shard.partition)]
            for shard in shards
        }

    def _seal(self, shard: Shard, outbox: Outbox, group: GroupMetadata) -> Sealed:
        cursor = Cursor(
            transaction=1 if shard.cursor is None else shard.cursor.transaction + 1,
            inputs=tuple(sorted(shard.offsets().items())),
            clock_ms=shard.tick(outbox.now_ms),
            owner=self._owner,
            generation=group.generation,
            partitions=self._partitions,
            records_count=len(shard.overlay),
        )
        return Sealed(shard, cursor, self._codec.encode_cursor(cursor))

    def _send(
        self, records: list[Record], letters: list[Record], sealed: Sequence[Sealed]
    ) -> None:
        half = max(1, len(records) // 2)
        self._sink.send_all(records[:1])
        reach(CrashPoint.C03)
        self._sink.send_all(records[1:half])
        reach(CrashPoint.C04)
        self._sink.send_all(records[half:])
        for letter in letters:
            self._sink.send(letter, track=True)
        for one in sealed:  # last of all, so that it closes its transaction in the changelog
            cursor = Record(self._changelog, one.shard.partition, CURSOR_KEY, one.encoded)
            self._sink.send(cursor, track=True)
        reach(CrashPoint.C05)


def places_first(records: Sequence[Record]) -> list[Record]:
    """Put the first record of each partition before all others; each partition's order stays.

    The client library registers partitions with the transaction a millisecond after the first
    record, and all that it meets later in a second request when the first is answered: one round
    trip more before the commit, whenever records take longer than that to hand over.
    """
    seen: defaultdict[str, set[int]] = defaultdict(set)
    firsts: list[Record] = []
    others: list[Record] = []
    for record in records:
        partitions = seen[record[0]]  # by topic: a pair as the key would have to be made of each
        if record[1] in partitions:
            others.append(record)
        else:
            partitions.add(record[1])
            firsts.append(record)
    return firsts + others


def snapshots(outbox: Outbox, changelog: str, codec: RecordCodec) -> list[Record]:
    """The changelog records of a transaction: one for each saga that it changes.

    States that several inputs changed are encoded here, for the store as well.
    """
    for shard in outbox.shards.values():
        for saga_id, change in shard.overlay.items():
            if change.snapshot is None and change.state is not None:
                snapshot = codec.encode_snapshot(change.state)
                shard.overlay[saga_id] = change._replace(snapshot=snapshot)
    return [
        new_record(changelog, partition, SNAPSHOT_KEY + saga_id.encode(), change.snapshot)
        for partition, shard in outbox.shards.items()
        for saga_id, change in shard.overlay.items()
    ]


def positions(outbox: Outbox) -> list[Position]:
    """The input positions of a transaction: those that moved, and at least one a shard.

    The first time that a shard is ours all of them, so that every input has a committed position.
    A transaction without positions would not be fenced at all.
    """
    found = []
    for partition, shard in outbox.shards.items():
        moved = shard.moved if shard.announced else shard.offsets()
        if not moved:
            topic = min(shard.positions)
            moved = {topic: shard.positions[topic]}
        found += [Position(topic, partition, offset) for topic, offset in moved.items()]
    return found
