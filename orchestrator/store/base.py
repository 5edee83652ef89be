"""The port of a shard's local store: what the worker needs, and nothing of how it is kept.

The store is a cache of the changelog with its position inside: it may lag behind Kafka, it never
holds anything that Kafka has not committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from orchestrator.core.state import RawTimer, Timer

LAYOUT_VERSION = 3
"""Of keys and families. A store of another layout is set aside and rebuilt from the changelog."""


class Batch(NamedTuple):
    """What one committed transaction, or a piece of the changelog, does to one shard's store."""

    position: int
    """Offset of the next changelog record to read: everything below it is in this store."""
    synced_at_ms: int
    """When the store was last known to hold all that was committed (ms since the epoch)."""
    cursor: bytes | None = None
    """The shard's cursor record; None leaves the stored one as it is."""
    puts: Mapping[str, bytes] = {}
    """Saga id to snapshot."""
    deletes: tuple[str, ...] = ()
    """Saga ids that are forgotten. One that is not there is no error."""
    timers_added: tuple[Timer, ...] = ()
    timers_removed: tuple[Timer, ...] = ()
    """Removed first, added second: a timer in both is armed afterwards."""


class Piece(NamedTuple):
    """What a piece of the changelog does to a store: a `Batch`, in the bytes that were read.

    A restore makes one of each thousand records, so nothing in it is made again for each of them.
    """

    position: int
    synced_at_ms: int
    cursor: bytes | None
    snapshots: Mapping[bytes, bytes | None]
    """By saga id; None: the saga is forgotten."""
    timers_added: Sequence[RawTimer]
    timers_removed: Sequence[RawTimer]


class ShardStore(Protocol):
    """One shard's states, timer index and cursor. One owner, one thread.

    Every method raises `CorruptStore` if the files cannot be read, `DiskFailed` if the disk refuses
    (then `close`, and open again: what was written before is there), and `StateError` once closed.
    """

    def get(self, saga_id: str) -> bytes | None:
        """Snapshot of a saga, None if it is not here."""
        ...

    def cursor(self) -> bytes | None:
        """The last cursor applied, None in a new store."""
        ...

    def position(self) -> int:
        """Offset of the next changelog record to read; 0 in a new store."""
        ...

    def synced_at_ms(self) -> int:
        """When the store last held all that was committed (ms since the epoch); 0 if new."""
        ...

    def apply(self, batch: Batch) -> None:
        """Take over a batch: all of it or nothing if the process dies, and none without those before.

        It may be written later, at `close` at last: what a crash costs is in the changelog.
        """

    def write_due(self, now_ms: int) -> None:
        """Write what was applied and has waited for long enough. `apply` does it; so if none comes."""

    def replay(self, piece: Piece) -> None:
        """Take over a piece of the changelog: as `apply` does, with less work a record."""

    def due(self, now_ms: int, limit: int) -> tuple[Timer, ...]:
        """At most `limit` timers with `due_ms <= now_ms`, the earliest first; they stay armed."""
        ...

    def next_due_ms(self) -> int | None:
        """When the earliest timer is due, None if none is armed."""
        ...

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Every saga id with its snapshot, in the order of the ids; not a point in time."""
        ...

    def close(self) -> None:
        """Release files and locks. Closing twice is no error, nor closing what is broken."""

    def destroy(self) -> None:
        """Close, and delete everything on disk."""


class Stores(Protocol):
    """The stores of one worker, by shard."""

    def open(self, shard: int) -> ShardStore:
        """Open or create the store of a shard.

        Raises CorruptStore if it cannot be read (then `set_aside` and open again), and
        ConfigurationError if another process holds it or the folder cannot be written.
        """
        ...

    def set_aside(self, shard: int) -> str:
        """Move the store of a shard, which is not open, out of the way; say where a person finds it.

        Empty if there was none.
        """
        ...
