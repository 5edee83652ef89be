"""Taking shards over: from files on disk and a log to a shard that may decide.

A take-over is a generator that works in slices and yields between them, so that the loop goes on
polling: it yields True when it would go on at once, False when it waits for something. The steps
are those of docs/internals.md. Doubt about a commit ends here too: after the producer is replaced
the changelog says whether the transaction happened, and the inputs are read again from there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from orchestrator.codec.keys import BARRIER_KEY, CURSOR_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.ids import is_id
from orchestrator.errors import DecodeError, DiskFailed, Retriable, StateError, Unreachable
from orchestrator.kafka.base import GroupMember, Position, Reader, Source, TopicPartition
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.crash_points import CrashPoint, reach
from orchestrator.runtime.restore import Armed, Shelf, Stores
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.runtime.shard import Halt, Shard, ShardStatus
from orchestrator.runtime.transaction import Transactor
from orchestrator.store.base import Batch

T = TypeVar("T")

TORN_RECHECK_S = 2.0
"""Before a shard is halted for its positions they are read once more after so long: a coordinator
that is just loading has answered with old ones (KAFKA-17507), a new leader may not know the end."""

_TAIL_COUNT = 100
"""Offsets at the end of what is committed, among which whoever took a shard last has left his name:
as long as his first transaction is open nothing is behind his barrier."""
PENDING_S = 5.0
"""How long positions may stay pending although nobody is left who could decide them."""


class Cluster(Protocol):
    """What recovery asks of the cluster, besides reading the changelog."""

    def start_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """First offset of each that still exists."""
        ...

    def end_offsets(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        """High watermark of each."""
        ...

    def members(self, group: str) -> tuple[GroupMember, ...]:
        """Who is in the group now."""
        ...


class RestoreProgress(NamedTuple):
    """How far the restore of one shard is."""

    shard: int
    records_count: int
    bytes_count: int
    offsets_left: int
    """Changelog offsets still ahead: an upper bound of the records."""
    seconds_left: float


class Begin(NamedTuple):
    """The shard may run from these positions on. `notes` are worth a warning."""

    positions: dict[str, int]
    notes: tuple[str, ...]


class Ranges(NamedTuple):
    """The offsets that exist of each input of one shard, by topic."""

    starts: Mapping[str, int]
    ends: Mapping[str, int]


def judge(
    cursor: Cursor | None,
    committed: Mapping[str, int | None],
    ranges: Ranges,
    *,
    partitions: int,
    accept_trimmed: bool,
) -> Begin | Halt:
    """Compare where the changelog and the group say that a shard stands. Pure.

    `committed` has every input topic of the program; the cursor may know fewer (a participant is
    new) or more (one is gone; its position is kept).
    """
    if cursor is not None and cursor.partitions != partitions:
        return Halt(
            "partition_count_changed",
            f"the shard was written with {cursor.partitions} partitions a topic and now there are"
            f" {partitions}. Sagas would be found on other shards: restore the old topics",
        )
    found = dict(cursor.inputs) if cursor is not None else {}
    notes: list[str] = []
    for topic, offset in committed.items():
        known = found.get(topic)
        if offset is not None and offset != known:
            return Halt(
                "torn",
                f"{topic}: the changelog stands at {known}, the group at {offset}. A transaction"
                " was torn, or offsets were set by hand, or the group is another's. Compare with"
                " `saga replay`, then set the group's offset to that of the changelog",
            )
        if offset is None and known is not None:
            notes.append(f"{topic}: the group has no position; going by the changelog's {known}")
        place = _within(
            topic,
            ranges.starts[topic] if known is None else known,
            ranges,
            accept_trimmed=accept_trimmed,
        )
        if isinstance(place, Halt):
            return place
        if known is not None and place != known:
            notes.append(f"{topic}: went on at {place} instead of {known}, as accept_trimmed says")
        found[topic] = place
    return Begin(found, tuple(notes))


def _within(topic: str, offset: int, ranges: Ranges, *, accept_trimmed: bool) -> int | Halt:
    start, end = ranges.starts[topic], ranges.ends[topic]
    if start <= offset <= end:
        return offset
    if accept_trimmed:
        return start
    what = "deleted before it was read" if offset < start else "not there: the topic is another"
    return Halt(
        "trimmed" if offset < start else "beyond_end",
        f"{topic}: the next record is {offset}, the topic holds {start} to {end}; input was {what}."
        " Look for sagas that were never started, then run the worker once with accept_trimmed",
    )


def _is_doubtful(verdict: Begin | Halt) -> bool:
    """Whether it may be another one a little later."""
    return isinstance(verdict, Halt) and verdict.reason in {"torn", "beyond_end"}


class Recovery:
    """Takes shards over. One object a worker."""

    def __init__(
        self,
        *,
        settings: WorkerSettings,
        topics: Sequence[str],
        changelog: str,
        partitions: int,
        stores: Stores,
        source: Source,
        reader: Reader,
        cluster: Cluster,
        transactor: Transactor,
        fence: Callable[[str], None],
        codec: RecordCodec,
        clock: Clock,
        counters: Counters,
        log: Log,
        on_progress: Callable[[RestoreProgress], None],
    ) -> None:
        self._settings = settings
        self._topics = tuple(topics)
        self._changelog = changelog
        self._partitions = partitions
        self._shelf = Shelf(
            stores=stores,
            settings=settings,
            codec=codec,
            clock=clock,
            counters=counters,
            log=log,
        )
        self._source = source
        self._reader = reader
        self._cluster = cluster
        self._transactor = transactor
        self._fence = fence
        self._codec = codec
        self._clock = clock
        self._counters = counters
        self._log = log
        self._on_progress = on_progress
        self._restored: Counter[int] = Counter()
        """Changelog records applied in this take-over, by shard."""

    def open(self, partition: int) -> Shard:
        """T1: open a shard's store; a broken one is set aside and begun anew."""
        store = self._shelf.open(partition)
        decode = self._codec.decode_snapshot
        return Shard(partition, store, decode, self._settings.cache_count_max)

    def reopen(self, shard: Shard) -> None:
        """Open the store of a shard again after the disk has failed. Raises DiskFailed."""
        shard.store = self._shelf.reopen(shard.store, shard.partition)
        shard.reset()

    def take_over(
        self, shards: Sequence[Shard], ready: Callable[[], None]
    ) -> Generator[bool, None, None]:
        """T2 to T7 for shards whose stores are open. `ready` is called when some may run.

        Raises TransactionError: replace the producer and take over again; DiskFailed: reopen the
        stores and take over again.
        """
        for shard in shards:
            self._restored.pop(shard.partition, None)
        yield from self._freshen(shards)
        warm = [shard for shard in shards if shard.store.cursor() is not None]
        cold = [shard for shard in shards if shard.store.cursor() is None]
        if warm:
            yield from self._group(warm, ready)
        for shard in cold:
            # Most of the work, and who was the last owner, without keeping anybody waiting.
            yield from self._catch_up(shard)
        if cold:
            yield from self._group(cold, ready)

    # --- the steps ------------------------------------------------------------------------------

    def _ask(self, question: Callable[[], T]) -> Generator[bool, None, T]:
        """Ask the cluster again and again until it answers; the loop polls in between."""
        while True:
            try:
                return question()
            except Unreachable as error:
                self._log.warning("cluster_unreachable", text=str(error))
                yield False

    def _freshen(self, shards: Sequence[Shard]) -> Iterator[bool]:
        """T2: a store that cannot be trusted is begun anew."""
        changelogs = [TopicPartition(self._changelog, shard.partition) for shard in shards]
        starts = yield from self._ask(lambda: self._cluster.start_offsets(changelogs))
        ends = yield from self._ask(lambda: self._cluster.end_offsets(changelogs))
        for shard, changelog in zip(shards, changelogs, strict=True):
            shard.status = ShardStatus.RESTORING
            shard.reset()
            if shard.broken:
                self._begin_anew(shard, "corrupt", shard.broken)
                continue
            reason = self._shelf.distrust(
                shard.store,
                shard.partition,
                start=starts[changelog],
                end=ends[changelog],
            )
            if reason is not None:
                self._begin_anew(shard, reason)

    def _begin_anew(self, shard: Shard, reason: str, text: str = "") -> None:
        """Set a store aside and open an empty one in its place."""
        shard.broken = ""
        shard.store = self._shelf.begin_anew(shard.store, shard.partition, reason, text)
        shard.reset()

    def _group(
        self, shards: Sequence[Shard], ready: Callable[[], None]
    ) -> Generator[bool, None, None]:
        committed: Mapping[TopicPartition, int | None] | None = None
        again_s = self._clock.monotonic_s() + PENDING_S
        while committed is None:  # T3
            yield from self._fence_dead_owners(shards)
            committed = self._committed(shards)
            if committed is None:
                # Somebody's transaction is open. If it is his first, only his barrier names him.
                owners = set()
                for shard in shards:
                    owners.add((yield from self._last_owner(shard)))
                yield from self._fence_dead(owners)
            if committed is None and self._clock.monotonic_s() >= again_s:
                self._end_forgotten(shards)
                again_s = self._clock.monotonic_s() + PENDING_S
            yield committed is not None
        while not self._source.group_metadata().live:
            yield False
        barriers = self._transactor.barrier(  # T4
            list(shards), self._source.group_metadata()
        )
        for shard in sorted(shards, key=lambda s: barriers[s.partition] - s.store.position()):
            yield from self._restore(shard, barriers[shard.partition] + 1)  # T5
        yield from self._fence_dead_owners(shards)  # of whom the store did not know before
        restored = [shard for shard in shards if shard.status is ShardStatus.RESTORING]
        if restored:
            yield from self._judge(restored, committed)  # T6
        ready()  # T7

    def _fence_dead_owners(self, shards: Sequence[Shard]) -> Iterator[bool]:
        cursors = [self._cursor(shard) for shard in shards]
        yield from self._fence_dead({cursor.owner for cursor in cursors if cursor is not None})

    def _last_owner(self, shard: Shard) -> Generator[bool, None, str]:
        """Who wrote to the changelog last, by what is committed; empty if that cannot be told."""
        yield from self._catch_up(shard)
        changelog = TopicPartition(self._changelog, shard.partition)
        starts = yield from self._ask(lambda: self._cluster.start_offsets([changelog]))
        end = shard.store.position()
        start = max(starts[changelog], end - _TAIL_COUNT)
        owner = ""
        for entries in self._reader.read_entries(Position(*changelog, start), end, _TAIL_COUNT):
            for key, value in zip(entries.keys, entries.values, strict=True):
                if key == BARRIER_KEY and value is not None:
                    owner = value.decode("ascii", "replace")
                elif key == CURSOR_KEY and value is not None:
                    owner = self._codec.decode_cursor(value).owner
            yield bool(entries.keys)
        return owner if is_id(owner) else ""

    def _fence_dead(self, owners: set[str]) -> Iterator[bool]:
        owners -= {self._settings.instance_id, ""}
        if not owners:
            return
        group = self._settings.group
        members = yield from self._ask(lambda: self._cluster.members(group))
        alive = {member.instance_id for member in members}
        for owner in sorted(owners - alive):
            self._fence(owner)
            self._counters.fenced_count += 1
            self._log.info("fenced_dead_predecessor", owner=owner)

    def _committed(self, shards: Sequence[Shard]) -> Mapping[TopicPartition, int | None] | None:
        wanted = [TopicPartition(t, shard.partition) for shard in shards for t in self._topics]
        try:
            return self._source.committed(wanted, self._settings.committed_timeout_ms / 1_000)
        except Retriable as error:
            partitions = [shard.partition for shard in shards]
            self._log.warning("waiting_for_positions", shards=partitions, text=str(error))
            return None

    def _end_forgotten(self, shards: Sequence[Shard]) -> None:
        """End what a broker has forgotten: it died between an end and its marker for the group.

        Everywhere else that transaction is decided; its positions would stay pending for ever. The
        next end of the same producer decides them too. Were that wrong, T6 would find it.
        """
        group = self._source.group_metadata()
        if group.live:
            self._log.warning("ending_forgotten_positions", shards=[s.partition for s in shards])
            self._transactor.barrier(list(shards), group)

    def _cursor(self, shard: Shard) -> Cursor | None:
        return self._shelf.cursor(shard.store, shard.partition)

    def _end(self, shard: Shard) -> Generator[bool, None, int]:
        changelog = TopicPartition(self._changelog, shard.partition)
        ends = yield from self._ask(lambda: self._cluster.end_offsets([changelog]))
        return ends[changelog]

    def _catch_up(self, shard: Shard) -> Iterator[bool]:
        """Apply what is decided by now. What is wrong with the changelog is T5's to find."""
        try:
            yield from self._replay(shard, (yield from self._end(shard)), patient=False)
        except DiskFailed:
            raise
        except (StateError, DecodeError) as error:
            self._log.warning("catch_up_failed", shard=shard.partition, text=str(error))

    def _restore(self, shard: Shard, until: int) -> Iterator[bool]:
        """T5, for good: a changelog that does not go with the store is read from its beginning."""
        try:
            yield from self._replay(shard, until, patient=True)
        except DiskFailed:
            raise
        except StateError as error:
            self._begin_anew(shard, "does_not_fit_changelog", str(error))
        except DecodeError as error:
            self.halt(shard, Halt("changelog_undecodable", f"{error}. Is this worker too old?"))
        else:
            return
        if shard.status is ShardStatus.RESTORING:
            try:
                yield from self._replay(shard, until, patient=True)
            except DiskFailed:
                raise
            except (StateError, DecodeError) as error:
                self.halt(shard, Halt("changelog_unreadable", str(error)))

    def _replay(self, shard: Shard, until: int, *, patient: bool) -> Iterator[bool]:
        """Bring the store up to offset `until`; without patience, up to what is decided now."""
        store = shard.store
        first, began_s = store.position(), self._clock.monotonic_s()
        records_count = bytes_count = 0
        if first >= until:
            return
        start, armed = Position(self._changelog, shard.partition, first), Armed(store)
        count_max = self._settings.restore_count_max
        for entries in self._reader.read_entries(start, until, count_max):
            count = len(entries.keys)
            if not count and not patient:
                break
            if count:
                self._shelf.apply(store, entries, armed)
                reach(CrashPoint.C13)
                self._restored[shard.partition] += count
                records_count += count
                bytes_count += sum(map(len, filter(None, entries.values)))
                left = max(0, until - store.position())
                speed = (store.position() - first) / max(
                    0.001, self._clock.monotonic_s() - began_s
                )
                self._on_progress(
                    RestoreProgress(
                        shard.partition, records_count, bytes_count, left, left / max(1.0, speed)
                    )
                )
            yield bool(count)
        if patient:
            store.apply(Batch(store.position(), self._clock.now_ms()))

    def _judge(
        self, shards: Sequence[Shard], committed: Mapping[TopicPartition, int | None]
    ) -> Iterator[bool]:
        """T6 for all at once; whoever passes runs."""
        for shard in shards:
            shard.cursor = self._cursor(shard)
        verdicts = yield from self._verdicts(shards, committed)
        doubtful = [shard for shard in shards if _is_doubtful(verdicts[shard.partition])]
        if doubtful:
            until_s = self._clock.monotonic_s() + TORN_RECHECK_S
            while self._clock.monotonic_s() < until_s:
                yield False
            # No answer is no reason to stand still until a person comes.
            while (again := self._committed(doubtful)) is None:
                yield False
            verdicts |= yield from self._verdicts(doubtful, again)
        for shard in shards:
            verdict = verdicts[shard.partition]
            if isinstance(verdict, Halt):
                self.halt(shard, verdict)
            else:
                self._run(shard, verdict)

    def _run(self, shard: Shard, verdict: Begin) -> None:
        for note in verdict.notes:
            self._log.warning("position_doubtful", shard=shard.partition, text=note)
        shard.positions = verdict.positions
        shard.clock_ms = 0 if shard.cursor is None else shard.cursor.clock_ms
        shard.status = ShardStatus.RUNNING
        self._log.info(
            "shard_running",
            shard=shard.partition,
            transaction=0 if shard.cursor is None else shard.cursor.transaction,
            position=shard.store.position(),
            restored_count=self._restored[shard.partition],
        )

    def _verdicts(
        self, shards: Sequence[Shard], committed: Mapping[TopicPartition, int | None]
    ) -> Generator[bool, None, dict[int, Begin | Halt]]:
        wanted = [TopicPartition(t, shard.partition) for shard in shards for t in self._topics]
        starts = yield from self._ask(lambda: self._cluster.start_offsets(wanted))
        ends = yield from self._ask(lambda: self._cluster.end_offsets(wanted))
        found: dict[int, Begin | Halt] = {}
        for shard in shards:
            mine = [pair for pair in wanted if pair.partition == shard.partition]
            shard.backlog = {pair.topic: ends[pair] for pair in mine}
            found[shard.partition] = judge(
                shard.cursor,
                {pair.topic: committed[pair] for pair in mine},
                Ranges({p.topic: starts[p] for p in mine}, {p.topic: ends[p] for p in mine}),
                partitions=self._partitions,
                accept_trimmed=self._settings.accept_trimmed,
            )
        return found

    def halt(self, shard: Shard, why: Halt) -> None:
        """Stop one shard until a person has looked; the others go on."""
        shard.forget_overlay()
        shard.status, shard.halt = ShardStatus.HALTED, why
        self._counters.halted[why.reason] += 1
        self._log.error(
            "shard_halted",
            shard=shard.partition,
            reason=why.reason,
            text=why.text,
            operator_action=why.operator_action,
        )
