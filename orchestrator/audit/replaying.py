"""Replay over real topics: reads what `compare` and `instant` judge, one shard at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from orchestrator.audit.compare import Copy, Difference, ShardReplay, ShardReport
from orchestrator.audit.instant import compare_at
from orchestrator.audit.reading import Log, OnCount, Unreadable
from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Transition
from orchestrator.codec.wire import RecordCodec


class Until(NamedTuple):
    """An earlier moment; both given: whichever comes first."""

    offset: int | None = None
    """Last offset of the events partition that counts."""
    at_ms: int | None = None
    """Last instant that counts, in ms since the epoch."""

    def reached(self, origin: Origin, transition: Transition) -> bool:
        """Whether this record comes after the moment. Times never run back within a shard."""
        return (self.offset is not None and origin.offset > self.offset) or (
            self.at_ms is not None and transition.at_ms > self.at_ms
        )


class Replayed(NamedTuple):
    """What the replay of one shard found."""

    partition: int
    transitions_count: int
    events_count: int
    sagas_count: int
    open_count: int
    forgotten_count: int
    compared: Mapping[str, int]
    """For each copy, how many sagas are equal byte for byte."""
    incomparable_count: int
    """Sagas whose first events, or whose snapshot of that moment, are no longer kept."""
    differences_count: int
    differences: tuple[Difference, ...]


class Stores(Protocol):
    """A worker's local stores."""

    def copies(self, shard: int) -> tuple[Copy, ...]:
        """Every store of a shard."""
        ...


class Replayer:
    """Replays shards of one log, or one saga of it."""

    def __init__(
        self, log: Log, codec: RecordCodec, *, saga: str | None = None, on_count: OnCount
    ) -> None:
        self._log = log
        self._codec = codec
        self._saga = saga
        self._on_count = on_count

    def now(self, shard: int, stores: Stores | None = None) -> Replayed:
        """Compare a shard's log with its changelog, and with its store if there is one.

        Raises:
            StateError: The topics cannot be read to their end.
            DecodeError: The changelog's cursor cannot be read.
        """
        log, changelog = self._log, self._log.topics.changelog
        local = stores.copies(shard) if stores else ()
        kept = log.span(changelog, shard)
        snapshots, cursor = log.changelog(shard, kept, self._on_count)
        copy = Copy("changelog", snapshots, cursor)
        copies = (copy, *local)
        replay = self._fold(shard, tuple(map(self._narrowed, copies)), None)
        settled = set()
        if log.span(changelog, shard).end == kept.end:
            # Nothing was committed since: whatever the log has is in the changelog.
            settled = {one.name for one in copies if one.cursor == cursor}
        return _summed(replay.finish(settled))

    def at(self, shard: int, until: Until) -> Replayed:
        """Compare a shard's log, up to a moment, with what the changelog still holds of it.

        Raises:
            StateError: The topics cannot be read to their end.
        """
        replay = self._fold(shard, (), until)
        kept = self._log.span(self._log.topics.changelog, shard)
        found = compare_at(
            shard,
            replay.states,
            self._log.snapshots(shard, kept, self._on_count),
            encode=self._codec.encode_snapshot,
            decode=self._codec.decode_snapshot,
        )
        report = _summed(replay.finish())
        return report._replace(
            compared={"changelog": found.compared_count},
            incomparable_count=report.incomparable_count + found.absent_count,
            differences_count=report.differences_count + found.differences_count,
            differences=report.differences + found.differences,
        )

    def _fold(self, shard: int, copies: tuple[Copy, ...], until: Until | None) -> ShardReplay:
        span = self._log.span(self._log.topics.events, shard)
        replay = ShardReplay(
            shard,
            copies,
            encode=self._codec.encode_snapshot,
            decode=self._codec.decode_snapshot,
            truncated=span.start > 0,
        )
        entries = self._log.transitions(shard, span, saga=self._saga, on_count=self._on_count)
        for entry in entries:
            if isinstance(entry, Unreadable):
                saga = (entry.key or b"").decode("utf-8", "replace")
                replay.unreadable("log", entry.origin, saga, entry.error)
            elif until is not None and until.reached(*entry):
                break
            else:
                replay.add(*entry)
        return replay

    def _narrowed(self, copy: Copy) -> Copy:
        if self._saga is None:
            return copy
        wanted = {saga: one for saga, one in copy.snapshots.items() if saga == self._saga}
        return Copy(copy.name, wanted, copy.cursor)


def _summed(report: ShardReport) -> Replayed:
    return Replayed(
        partition=report.partition,
        transitions_count=report.transitions_count,
        events_count=report.events_count,
        sagas_count=report.sagas_count,
        open_count=report.open_count,
        forgotten_count=report.forgotten_count,
        compared=report.compared,
        incomparable_count=report.headless_count,
        differences_count=report.differences_count,
        differences=report.differences,
    )
