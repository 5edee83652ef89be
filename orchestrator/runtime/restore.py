"""From a changelog to a local store: what a take-over and a standby have in common.

Both open a shard's store, distrust it for the same reasons, and apply the same records in the same
pieces, each with its position in the same write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Protocol

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.keys import CURSOR_KEY, SNAPSHOT_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import RawTimer
from orchestrator.errors import CorruptStore, DecodeError
from orchestrator.kafka.base import Entries
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.store.base import Piece, ShardStore


class Stores(Protocol):
    """The local stores of one worker."""

    def open(self, partition: int) -> ShardStore:
        """Open or make the store of a shard. Raises CorruptStore, ConfigurationError."""
        ...

    def set_aside(self, partition: int) -> str:
        """Move the files of a closed store out of the way; say where they are now."""
        ...


def discard_reason(
    store: ShardStore, *, start: int, end: int, now_ms: int, delete_retention_ms: int
) -> str | None:
    """Say why a store must not be trusted against a changelog of `start` to `end`; None: it may."""
    position = store.position()
    if position > end:
        return "ahead"
    if 0 < position < start:
        return "trimmed"
    if 0 < position < end and now_ms - store.synced_at_ms() > delete_retention_ms // 2:
        return "stale"
    return None


_REMEMBERED_COUNT_MAX = 50_000
_SEEN_COUNT = 1 << 20
"""Slots of `Armed`, a byte each: of 250,000 sagas one in ten finds another's, and the store is asked."""


class Armed:
    """The sagas' earliest timers in one store, as far as is known without reading it.

    Of a saga that has not come by since the store was empty, that there is none; of the last ones
    that came by, what they left. It is brought up to date while a piece is made, so it is of no more
    use if one is not applied.
    """

    __slots__ = ("_known", "_seen")

    def __init__(self, store: ShardStore) -> None:
        """To be made before records are read for `store`."""
        self._known: dict[bytes, tuple[RawTimer, ...]] = {}
        self._seen = None if store.position() else bytearray(_SEEN_COUNT)

    def replace(
        self, after: Mapping[bytes, tuple[RawTimer, ...]]
    ) -> Sequence[tuple[RawTimer, ...] | None]:
        """Take note of sagas' timers; give those before, None where the store must be asked."""
        known, seen, mask = self._known, self._seen, _SEEN_COUNT - 1
        if len(known) > _REMEMBERED_COUNT_MAX:
            known.clear()
        get = known.get
        if seen is None:
            before = [get(saga_id) for saga_id in after]
        else:
            before = [
                ()
                if (timers := get(saga_id)) is None and not seen[hash(saga_id) & mask]
                else timers
                for saga_id in after
            ]
            for saga_id in after:
                seen[hash(saga_id) & mask] = 1
        known.update(after)
        return before


def entries_of(envelopes: Sequence[Envelope]) -> Entries:
    """Records as entries; there is at least one."""
    return Entries(
        [envelope.key for envelope in envelopes],
        [envelope.value for envelope in envelopes],
        envelopes[-1].origin.offset + 1,
    )


def replayed(
    store: ShardStore, entries: Entries, codec: RecordCodec, synced_at_ms: int, armed: Armed
) -> Piece:
    """What a piece of the changelog does to a store. Raises DecodeError."""
    latest = dict(zip(entries.keys, entries.values, strict=True))
    size = len(SNAPSHOT_KEY)
    snapshots = {
        key[size:]: value
        for key, value in latest.items()
        if key is not None and key.startswith(SNAPSHOT_KEY)
    }
    after = {
        saga_id: _reminder(codec, saga_id, snapshot) for saga_id, snapshot in snapshots.items()
    }
    added: list[RawTimer] = []
    removed: list[RawTimer] = []
    replaced = zip(after, armed.replace(after), strict=True)
    for saga_id, before in [pair for pair in replaced if pair[1] != ()]:
        if before is None:
            before = _reminder(codec, saga_id, store.get(saga_id.decode("ascii")))  # noqa: PLW2901
        left = after.pop(saga_id)
        removed.extend([timer for timer in before if timer not in left])
        added.extend([timer for timer in left if timer not in before])
    added.extend(chain.from_iterable(after.values()))
    return Piece(entries.position, synced_at_ms, latest.get(CURSOR_KEY), snapshots, added, removed)


def _reminder(codec: RecordCodec, saga_id: bytes, snapshot: bytes | None) -> tuple[RawTimer, ...]:
    """What the due index must have of a saga: `core.state.reminder`, if there is one."""
    found = () if snapshot is None else codec.snapshot_timers(saga_id, snapshot)
    return found if len(found) <= 1 else (min(found),)


class Shelf:
    """Where the local stores of a worker stand: opens them, fills them, sets the bad ones aside."""

    def __init__(
        self,
        *,
        stores: Stores,
        settings: WorkerSettings,
        codec: RecordCodec,
        clock: Clock,
        counters: Counters,
        log: Log,
    ) -> None:
        self._stores = stores
        self._settings = settings
        self._codec = codec
        self._clock = clock
        self._counters = counters
        self._log = log

    def open(self, partition: int) -> ShardStore:
        """T1: open a shard's store; a broken one is set aside and begun anew."""
        try:
            return self._stores.open(partition)
        except CorruptStore as error:
            self._set_aside(partition, "corrupt", str(error))
            return self._stores.open(partition)

    def reopen(self, store: ShardStore, partition: int) -> ShardStore:
        """Close a store that a disk failed, and open it again. Raises DiskFailed if it fails still."""
        store.close()
        return self.open(partition)

    def begin_anew(
        self, store: ShardStore, partition: int, reason: str, text: str = ""
    ) -> ShardStore:
        """Set a store aside and open an empty one in its place."""
        store.close()
        self._set_aside(partition, reason, text)
        return self._stores.open(partition)

    def distrust(self, store: ShardStore, partition: int, *, start: int, end: int) -> str | None:
        """T2: say why a store is not to be used with a changelog of `start` to `end`; None: it is."""
        try:
            self.cursor(store, partition)
        except CorruptStore:
            return "corrupt"
        return discard_reason(
            store,
            start=start,
            end=end,
            now_ms=self._clock.now_ms(),
            delete_retention_ms=self._settings.delete_retention_ms,
        )

    def cursor(self, store: ShardStore, partition: int) -> Cursor | None:
        """The cursor in a store. Raises CorruptStore if it cannot be read."""
        encoded = store.cursor()
        if encoded is None:
            return None
        try:
            return self._codec.decode_cursor(encoded)
        except DecodeError as error:
            raise CorruptStore(f"shard {partition}: cursor: {error}") from error

    def apply(self, store: ShardStore, entries: Entries, armed: Armed) -> None:
        """T5: take records of the changelog over. Raises DecodeError, CorruptStore."""
        # A first reading counts from its beginning: so long tombstones must have stayed.
        synced_at_ms = store.synced_at_ms() or self._clock.now_ms()
        store.replay(replayed(store, entries, self._codec, synced_at_ms, armed))
        self._counters.restored_count += len(entries.keys)

    def _set_aside(self, partition: int, reason: str, text: str) -> None:
        path = self._stores.set_aside(partition)
        self._counters.discarded[reason] += 1
        self._log.warning("store_set_aside", shard=partition, reason=reason, text=text, path=path)
