"""From a changelog to a local store: what a take-over and a standby have in common.

Both open a shard's store, distrust it for the same reasons, and apply the same records in the same
pieces, each with its position in the same write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.keys import CURSOR_KEY, SNAPSHOT_KEY
from orchestrator.codec.records import Cursor
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import Timer
from orchestrator.errors import CorruptStore, DecodeError
from orchestrator.observability.counters import Counters
from orchestrator.observability.log import Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.settings import WorkerSettings
from orchestrator.store.base import Batch, ShardStore


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
    """The timers that are armed in one store, as far as is known without reading it.

    Of a saga that has not come by since the store was empty, that there are none; of the last ones
    that came by, what they left. It is brought up to date while a batch is made, so it is of no more
    use if one is not applied.
    """

    __slots__ = ("_known", "_seen")

    def __init__(self, store: ShardStore) -> None:
        """To be made before records are read for `store`."""
        self._known: dict[str, tuple[Timer, ...]] = {}
        self._seen = None if store.position() else bytearray(_SEEN_COUNT)

    def begin(self) -> None:
        """Make room for what a batch brings."""
        if len(self._known) > _REMEMBERED_COUNT_MAX:
            self._known.clear()

    def replace(self, saga_id: str, after: tuple[Timer, ...]) -> tuple[Timer, ...] | None:
        """Take note of a saga's timers; give those before, None if the store must be asked."""
        before = self._known.get(saga_id)
        self._known[saga_id] = after
        if self._seen is not None:
            slot = hash(saga_id) & (_SEEN_COUNT - 1)
            if before is None and not self._seen[slot]:
                before = ()
            self._seen[slot] = 1
        return before


def replayed(
    store: ShardStore,
    envelopes: Sequence[Envelope],
    codec: RecordCodec,
    synced_at_ms: int,
    armed: Armed,
) -> Batch:
    """What a piece of the changelog does to a store. Raises DecodeError."""
    armed.begin()
    latest: dict[str, bytes | None] = {}
    cursor = None
    prefix, size = SNAPSHOT_KEY, len(SNAPSHOT_KEY)
    for envelope in envelopes:
        key = envelope.key or b""
        if key.startswith(prefix):
            latest[key[size:].decode("ascii")] = envelope.value
        elif key == CURSOR_KEY:
            cursor = envelope.value
    added: list[Timer] = []
    removed: list[Timer] = []
    for saga_id, snapshot in latest.items():
        after = () if snapshot is None else codec.snapshot_timers(snapshot)
        before = armed.replace(saga_id, after)
        if before is None:
            replaced = store.get(saga_id)
            before = () if replaced is None else codec.snapshot_timers(replaced)
        if before:
            removed.extend([timer for timer in before if timer not in after])
            added.extend([timer for timer in after if timer not in before])
        else:
            added += after
    return Batch(
        position=envelopes[-1].origin.offset + 1,
        synced_at_ms=synced_at_ms,
        cursor=cursor,
        puts={saga_id: value for saga_id, value in latest.items() if value is not None},
        deletes=tuple(saga_id for saga_id, value in latest.items() if value is None),
        timers_added=tuple(added),
        timers_removed=tuple(removed),
    )


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

    def apply(self, store: ShardStore, envelopes: Sequence[Envelope], armed: Armed) -> None:
        """T5: take records of the changelog over, in pieces. Raises DecodeError, CorruptStore."""
        step = self._settings.restore_count_max
        # A first reading counts from its beginning: so long tombstones must have stayed.
        synced_at_ms = store.synced_at_ms() or self._clock.now_ms()
        for begin in range(0, len(envelopes), step):
            piece = envelopes[begin : begin + step]
            store.apply(replayed(store, piece, self._codec, synced_at_ms, armed))
        self._counters.restored_count += len(envelopes)

    def _set_aside(self, partition: int, reason: str, text: str) -> None:
        path = self._stores.set_aside(partition)
        self._counters.discarded[reason] += 1
        self._log.warning("store_set_aside", shard=partition, reason=reason, text=text, path=path)
