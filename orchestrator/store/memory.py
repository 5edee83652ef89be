"""Stores in memory: the twin of `rocks.py` for tests and the simulator."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.core.state import RawTimer, Timer
from orchestrator.errors import StateError
from orchestrator.store import keys
from orchestrator.store.base import Batch, Piece


@dataclass(slots=True)
class _Contents:
    """What outlives a closed store, as a folder on disk would."""

    snapshots: dict[str, bytes] = field(default_factory=dict)
    timers: list[Timer] = field(default_factory=list)
    cursor: bytes | None = None
    position: int = 0
    synced_at_ms: int = 0


class MemoryStore:
    """A `ShardStore` without a disk. See `store.base.ShardStore` for each method."""

    def __init__(self, contents: _Contents | None = None) -> None:
        self._contents = _Contents() if contents is None else contents
        self._closed = False

    def get(self, saga_id: str) -> bytes | None:
        """Snapshot of a saga."""
        return self._open().snapshots.get(saga_id)

    def cursor(self) -> bytes | None:
        """The last cursor applied."""
        return self._open().cursor

    def position(self) -> int:
        """Offset of the next changelog record to read."""
        return self._open().position

    def synced_at_ms(self) -> int:
        """When the store last held all that was committed."""
        return self._open().synced_at_ms

    def apply(self, batch: Batch) -> None:
        """Take over a batch."""
        contents = self._open()
        contents.position = batch.position
        contents.synced_at_ms = batch.synced_at_ms
        if batch.cursor is not None:
            contents.cursor = batch.cursor
        contents.snapshots.update(batch.puts)
        for saga_id in batch.deletes:
            contents.snapshots.pop(saga_id, None)
        for timer in batch.timers_removed:
            if _is_armed(contents.timers, timer):
                contents.timers.remove(timer)
        for timer in batch.timers_added:
            if not _is_armed(contents.timers, timer):
                insort(contents.timers, timer)

    def write_due(self, now_ms: int) -> None:  # noqa: ARG002 - the port's
        """Nothing waits here."""
        self._open()

    def replay(self, piece: Piece) -> None:
        """Take over a piece of the changelog."""
        snapshots = {keys.saga_id(key): snapshot for key, snapshot in piece.snapshots.items()}
        self.apply(
            Batch(
                piece.position,
                piece.synced_at_ms,
                piece.cursor,
                puts={saga_id: data for saga_id, data in snapshots.items() if data is not None},
                deletes=tuple(saga_id for saga_id, data in snapshots.items() if data is None),
                timers_added=tuple(map(_cooked, piece.timers_added)),
                timers_removed=tuple(map(_cooked, piece.timers_removed)),
            )
        )

    def due(self, now_ms: int, limit: int) -> tuple[Timer, ...]:
        """Due timers, the earliest first."""
        timers = self._open().timers
        count = bisect_right(timers, now_ms, key=lambda timer: timer.due_ms)
        return tuple(timers[: min(count, limit)])

    def next_due_ms(self) -> int | None:
        """When the earliest timer is due."""
        timers = self._open().timers
        return timers[0].due_ms if timers else None

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Every saga id with its snapshot, sorted."""
        return iter(sorted(self._open().snapshots.items()))

    def close(self) -> None:
        """Refuse further use; the contents stay with their `MemoryStores`."""
        self._closed = True

    def destroy(self) -> None:
        """Close and forget everything."""
        self._closed = True
        empty = _Contents()
        for name in _Contents.__slots__:
            setattr(self._contents, name, getattr(empty, name))

    def _open(self) -> _Contents:
        if self._closed:
            raise StateError("the store is closed")
        return self._contents


class MemoryStores:
    """The `Stores` of one worker, in memory: a closed shard keeps its contents."""

    def __init__(self) -> None:
        self._contents: dict[int, _Contents] = {}

    def open(self, shard: int) -> MemoryStore:
        """Open a shard's store, as it was left."""
        return MemoryStore(self._contents.setdefault(shard, _Contents()))

    def set_aside(self, shard: int) -> str:
        """Start this shard anew; nothing is kept."""
        self._contents.pop(shard, None)
        return ""


def _cooked(timer: RawTimer) -> Timer:
    due_ms, saga_id, step = timer
    return Timer(due_ms, keys.saga_id(saga_id), step)


def _is_armed(timers: list[Timer], timer: Timer) -> bool:
    index = bisect_left(timers, timer)
    return index < len(timers) and timers[index] == timer
