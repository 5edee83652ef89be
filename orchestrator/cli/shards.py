"""`saga shards`: who owns each shard, who would inherit it, and how far everybody is."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.cli.context import Context
from orchestrator.cli.exits import Exit
from orchestrator.cli.verb import Verb

if TYPE_CHECKING:
    from orchestrator.codec.records import Cursor
    from orchestrator.kafka.base import Admin, GroupMember, Reader, TopicPartition
    from orchestrator.runtime.notices import Notice
    from orchestrator.runtime.recovery import Begin
    from orchestrator.runtime.shard import Halt

_LOOK_BACK_COUNT = 64
"""Changelog offsets before the end in which the last cursor is sought first; then 16 times as many."""
_QUIET_S = 2.0
"""After so long without a record the rest of a partition is hidden by an open transaction."""
_TORN_RECHECK_S = 1.0
"""Cursor and positions are read one after the other while workers go on: only what has not moved for
so long, and differs, is torn."""
_COUNTED_MAX = 64
"""So many offsets or fewer are read, to count records and not transaction markers."""


class Last(NamedTuple):
    """What the end of a shard's changelog says."""

    cursor: Cursor | None
    position: int
    """Behind the cursor: where its owner's copy stands."""
    taken_over: bool
    """Whether a new owner has begun since."""
    end: int


class Copy(NamedTuple):
    """An heir, and what its standby has reported."""

    instance: str
    position: int | None
    lag: int | None


class Shard(NamedTuple):
    """One row."""

    shard: int
    owner: str
    heirs: tuple[Copy, ...]
    state: str
    reason: str
    text: str
    last: Last
    waiting: int


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--group", metavar="NAME", help="consumer group of the workers (default: as the prefix)"
    )


def _run(context: Context, _options: Namespace) -> Exit:
    from orchestrator.cli.worker import worker_settings
    from orchestrator.kafka.admin import KafkaAdmin
    from orchestrator.runtime.settings import StandbySettings

    group = worker_settings(context).group
    # Asked with a short limit, the client library has been seen to abort under load.
    looker = Looker(KafkaAdmin(context.kafka), context, group)
    standbys = context.settings(StandbySettings).standbys
    shards = looker.shards(max(1, standbys))
    context.out.document(
        {"group": group, "partitions": len(shards), "shards": [_json(shard) for shard in shards]}
    )
    _tell(context, shards)
    return Exit.OK if all(s.state == "running" for s in shards) else Exit.FOUND


class Looker:
    """Reads what Kafka knows about the shards. Disturbs nobody."""

    def __init__(self, admin: Admin, context: Context, group: str) -> None:
        self._admin = admin
        self._reader: Reader = context.reader
        self._codec = context.codec
        self._topics = context.topics
        self._group = group

    def shards(self, heirs_count: int) -> tuple[Shard, ...]:
        """Look at every shard.

        Raises:
            NotFound: The topics do not exist under this prefix.
        """
        from orchestrator.errors import NotFound

        changelog = self._topics.changelog
        partitions = self._admin.partitions([changelog]).get(changelog)
        if partitions is None:
            raise NotFound("unknown_topic", f"there is no topic {changelog}: is --prefix right?")
        members = self._admin.members(self._group)
        copies = self._copies(partitions, members, heirs_count)
        found = self._look(range(partitions), members, copies)
        torn = [shard for shard in found.values() if shard.reason == "torn"]
        if torn:
            time.sleep(_TORN_RECHECK_S)
            again = self._look([shard.shard for shard in torn], members, copies)
            for before in torn:
                after = again[before.shard]
                moved = after.last.position != before.last.position or after.text != before.text
                found[before.shard] = (
                    after._replace(state="running", reason="", text="") if moved else after
                )
        return tuple(found[partition] for partition in range(partitions))

    def _copies(
        self, partitions: int, members: Sequence[GroupMember], count: int
    ) -> dict[int, tuple[tuple[str, int | None], ...]]:
        """The heirs of each shard, with the position that each has reported."""
        from orchestrator.kafka.base import TopicPartition
        from orchestrator.runtime.beside import standby_group
        from orchestrator.runtime.placement import heirs

        instances = [member.instance_id for member in members if member.instance_id]
        told = {name: self._admin.positions(standby_group(name)) for name in instances}
        found = {}
        for partition in range(partitions):
            there = TopicPartition(self._topics.changelog, partition)
            line = heirs(partition, partitions, instances, count)
            found[partition] = tuple((name, told[name].get(there)) for name in line)
        return found

    def _look(
        self,
        partitions: Iterable[int],
        members: Sequence[GroupMember],
        copies: Mapping[int, tuple[tuple[str, int | None], ...]],
    ) -> dict[int, Shard]:
        owners = {
            pair.partition: member.instance_id or member.member_id
            for member in members
            for pair in member.partitions
        }
        notices = self._notices(members)
        committed = self._admin.positions(self._group)
        found = {}
        for partition in partitions:
            last = self._last(partition)
            inputs = self._inputs(partition, last.cursor, committed)
            verdict, waiting = self._judge(partition, len(copies), last, inputs)
            owner = owners.get(partition, "")
            state, reason, text = state_of(owner, last, verdict, notices.get(partition))
            found[partition] = Shard(
                shard=partition,
                owner=owner,
                heirs=tuple(
                    Copy(name, at, None if at is None else max(0, last.end - at))
                    for name, at in copies[partition]
                ),
                state=state,
                reason=reason,
                text=text,
                last=last,
                waiting=waiting,
            )
        return found

    def _notices(self, members: Sequence[GroupMember]) -> dict[int, Notice]:
        """What their owners say that shards wait for."""
        from orchestrator.runtime.notices import notice_group, read

        found = {}
        for member in members:
            if not member.instance_id:
                continue
            notes = self._admin.notes(notice_group(member.instance_id))
            mine = {pair.partition for pair in member.partitions}
            for there, note in notes.items():
                notice = read(note, member.member_id)
                if notice is not None and there.partition in mine:
                    found[there.partition] = notice
        return found

    def _last(self, partition: int) -> Last:
        """Find the last cursor of a shard's changelog, from the end backwards."""
        from orchestrator.codec.keys import BARRIER_KEY, CURSOR_KEY
        from orchestrator.kafka.base import TopicPartition

        there = TopicPartition(self._topics.changelog, partition)
        start, end = (
            self._admin.start_offsets([there])[there],
            self._admin.end_offsets([there])[there],
        )
        back = _LOOK_BACK_COUNT
        while True:
            first = max(start, end - back)
            cursor, position, taken_over = None, first, False
            for envelope in self._read(there, first, end):
                if envelope.key == CURSOR_KEY and envelope.value is not None:
                    cursor = self._codec.decode_cursor(envelope.value)
                    position, taken_over = envelope.origin.offset + 1, False
                elif envelope.key == BARRIER_KEY:
                    taken_over = True
            if cursor is not None or first == start:
                return Last(cursor, position, taken_over, end)
            back *= 16

    def _read(self, there: TopicPartition, first: int, end: int) -> Iterable[Any]:
        from orchestrator.kafka.base import Position

        quiet_s = time.monotonic()
        for batch in self._reader.read(Position(*there, first), end):
            if batch:
                quiet_s = time.monotonic()
                yield from (envelope for envelope in batch if envelope.origin.offset < end)
            elif time.monotonic() - quiet_s > _QUIET_S:
                return

    def _inputs(
        self, partition: int, cursor: Cursor | None, committed: Mapping[TopicPartition, int]
    ) -> dict[str, int | None]:
        """Every input of a shard with the group's position in it."""
        names = {self._topics.commands, *(dict(cursor.inputs) if cursor is not None else ())}
        names |= {pair.topic for pair in committed if pair.partition == partition}
        names -= {self._topics.changelog}  # its position is only a fence
        by_name = {pair.topic: at for pair, at in committed.items() if pair.partition == partition}
        return {name: by_name.get(name) for name in self._admin.partitions(sorted(names))}

    def _judge(
        self, partition: int, partitions: int, last: Last, inputs: Mapping[str, int | None]
    ) -> tuple[Begin | Halt, int]:
        """Say what a worker that takes the shard over would find, and how much input waits."""
        from orchestrator.kafka.base import TopicPartition
        from orchestrator.runtime.recovery import Begin, Ranges, judge

        pairs = [TopicPartition(name, partition) for name in inputs]
        ranges = Ranges(
            {pair.topic: at for pair, at in self._admin.start_offsets(pairs).items()},
            {pair.topic: at for pair, at in self._admin.end_offsets(pairs).items()},
        )
        verdict = judge(last.cursor, inputs, ranges, partitions=partitions, accept_trimmed=False)
        known = dict(last.cursor.inputs) if last.cursor is not None else {}
        at = verdict.positions if isinstance(verdict, Begin) else known
        waiting = sum(
            self._width(
                pair, at.get(pair.topic, ranges.starts[pair.topic]), ranges.ends[pair.topic]
            )
            for pair in pairs
        )
        return verdict, waiting

    def _width(self, there: TopicPartition, first: int, end: int) -> int:
        width = max(0, end - first)
        return width if width > _COUNTED_MAX else sum(1 for _ in self._read(there, first, end))


def state_of(
    owner: str, last: Last, verdict: Begin | Halt, notice: Notice | None
) -> tuple[str, str, str]:
    """Name a shard's state, with reason and text if a person must look. Pure.

    What Kafka holds comes before what the owner says, as it may be newer.
    """
    from orchestrator.runtime.shard import Halt

    if isinstance(verdict, Halt):
        return "halted", verdict.reason, verdict.text
    if not owner:
        return "unowned", "no_worker", ""
    if notice is not None:
        return notice
    written_by = "" if last.cursor is None else last.cursor.owner
    if written_by == owner or last.taken_over:
        return "running", "", ""
    return "taking over", "", ""


def _json(shard: Shard) -> dict[str, Any]:
    cursor = shard.last.cursor
    return {
        "shard": shard.shard,
        "state": shard.state,
        "reason": shard.reason or None,
        "text": shard.text or None,
        "owner": shard.owner or None,
        "transaction": 0 if cursor is None else cursor.transaction,
        "written_by": None if cursor is None else cursor.owner,
        "clock_ms": 0 if cursor is None else cursor.clock_ms,
        "waiting": shard.waiting,
        "changelog_end": shard.last.end,
        "position": shard.last.position,
        "heirs": [
            {"instance": copy.instance, "position": copy.position, "lag": copy.lag}
            for copy in shard.heirs
        ],
    }


def _tell(context: Context, shards: Sequence[Shard]) -> None:
    context.out.table(
        ("shard", "state", "owner", "waiting", "transaction", "changelog", "heir", "lag"),
        (
            (
                shard.shard,
                shard.state,
                shard.owner or "-",
                shard.waiting,
                0 if shard.last.cursor is None else shard.last.cursor.transaction,
                shard.last.end,
                ", ".join(copy.instance for copy in shard.heirs) or "-",
                ", ".join("cold" if c.lag is None else str(c.lag) for c in shard.heirs) or "-",
            )
            for shard in shards
        ),
        drop=("transaction", "changelog"),
    )
    for shard in shards:
        if shard.text:
            context.out.line(f"shard {shard.shard}: {shard.reason}: {shard.text}")


VERB = Verb(
    name="shards",
    help="Show every shard: its owner, its heir, how far each is, and whether it runs.",
    detail=(
        "Asks Kafka alone: the group, the ends of the changelog and of the inputs, the last cursor of each\n"
        "shard, and what standbys and workers report to the groups `<instance>.standby` and\n"
        "`<instance>.notices`. waiting: inputs not yet consumed. lag: changelog offsets that the heir's copy\n"
        "is behind; cold: it has none, and would restore. States: running; taking over; unowned: no worker\n"
        "has it; held: its worker waits for something, such as a topic that takes no records or room on the\n"
        "disk, and goes on by itself; halted: a person must look, as positions and changelog contradict each\n"
        "other, or input cannot be read. Held and halted with the reason, a second or two after the worker\n"
        "has logged it. Exit code 1 unless every shard runs."
    ),
    example="saga shards --bootstrap-servers localhost:9092",
    arguments=_arguments,
    run=_run,
)
