"""The store on disk: one RocksDB database per shard. The only importer of rocksdict.

The write-ahead log is on and never synced. A killed process loses the batches that were not
written yet (`write_behind.py`), a power loss some more; whole ones, read again from the changelog.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, cast

import rocksdict
from rocksdict import Rdict, WriteBatch

from orchestrator.core.state import Timer
from orchestrator.errors import ConfigurationError, CorruptStore, DiskFailed, StateError
from orchestrator.store import keys
from orchestrator.store.base import LAYOUT_VERSION, Batch, Piece
from orchestrator.store.timers import TimerWindow
from orchestrator.store.write_behind import WriteBehind

_FAMILIES = ("saga", "timer", "meta")
_LAYOUT = str(LAYOUT_VERSION).encode()
_CORRUPTION = ("Corruption", "Invalid argument", "No such file")
"""What rocksdict's texts say of files that are broken, of another layout, or missing."""
_DISK = "IO error"
_SCAN_COUNT = 1_000
_GRAVES_COUNT_MAX = 50_000
"""Removed timers after which the range of the past is deleted as one: a scan after a restart
crosses at most so many graves (a few ms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """Memory and files of the local stores of one process."""

    cache_bytes: int = 128 * 1024 * 1024
    """Bytes of block cache, shared by all shards of a process. Default 128 MiB: sagas at work
    live in the memtables, the cache serves those that slept."""
    write_buffer_bytes: int = 16 * 1024 * 1024
    """Bytes of one memtable (three for each family). Default 16 MiB: a flush every 30,000
    snapshots or so."""
    write_buffers_bytes: int = 256 * 1024 * 1024
    """Bytes of all memtables of a process together. Default 256 MiB: bounds memory however many
    shards are owned."""
    wal_bytes_max: int = 64 * 1024 * 1024
    """Bytes of log after which memtables are flushed. Default 64 MiB: bounds the time to open."""
    write_behind_ms: int = field(default=500, metadata={"min": 0, "max": 60_000})
    """How long changes wait in memory to be written as one, in ms. Default 500: under load a saga is
    written once or twice in its life, not with each answer; a restart reads as much more."""


class RocksShared:
    """What all databases of a process share: the block cache and the memtables' budget."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self._cache = rocksdict.Cache(settings.cache_bytes)
        self._buffers = rocksdict.WriteBufferManager(
            settings.write_buffers_bytes, allow_stall=False
        )

    def database_options(self) -> rocksdict.Options:
        """Options of a database as a whole."""
        options = self._family(rocksdict.Options(raw_mode=True))
        options.create_if_missing(True)
        options.create_missing_column_families(True)
        options.set_max_total_wal_size(self.settings.wal_bytes_max)
        options.set_wal_recovery_mode(rocksdict.DBRecoveryMode.point_in_time())
        options.set_atomic_flush(True)
        options.set_max_open_files(-1)
        # The default starts 16 threads a family to open the few files that there are: 10 ms a store.
        options.set_max_file_opening_threads(1)
        options.set_keep_log_file_num(2)
        options.set_max_log_file_size(1024 * 1024)
        options.set_write_buffer_manager(self._buffers)
        return options

    def family_options(self) -> dict[str, rocksdict.Options]:
        """Options of each family. All are always given, or old files would overrule them."""
        families = {name: self._family(rocksdict.Options(raw_mode=True)) for name in _FAMILIES}
        # Fired timers leave graves at the front of the index; files full of them are rewritten.
        families["timer"].add_compact_on_deletion_collector_factory(1024, 512, 0.5)
        return families

    def _family(self, options: rocksdict.Options) -> rocksdict.Options:
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_block_size(8 * 1024)
        table.set_bloom_filter(10, block_based=False)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_size(self.settings.write_buffer_bytes)
        options.set_max_write_buffer_number(3)
        options.set_compression_type(rocksdict.DBCompressionType.lz4())
        options.set_bottommost_compression_type(rocksdict.DBCompressionType.zstd())
        options.set_level_compaction_dynamic_level_bytes(True)
        return options


class _Typed:
    """Turns rocksdict's errors, which are bare `Exception`s with a text, into ours."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is rocksdict.DbClosedError:
            raise StateError(f"the store {self._path} is closed") from error
        if kind is None or not (kind is Exception or issubclass(kind, OSError)):
            return
        text = str(error)
        if "LOCK:" in text:
            raise ConfigurationError(
                f"data_dir: {self._path} is open in another process or store; give each worker"
                f" process a folder of its own ({text})"
            ) from error
        if "Permission denied" in text or "Read-only" in text:
            raise ConfigurationError(f"data_dir: {self._path} is not writable ({text})") from error
        if any(sign in text for sign in _CORRUPTION):
            raise CorruptStore(f"{self._path}: {text}") from error
        if text.startswith(_DISK):
            raise DiskFailed(f"{self._path}: {text}") from error
        raise StateError(f"{self._path}: {text}") from error


class _Handles(NamedTuple):
    """Everything that keeps a database open, in one place, so that one name can let it go."""

    database: Rdict
    sagas: Rdict
    timers: Rdict
    meta: Rdict
    saga_family: rocksdict.ColumnFamily
    timer_family: rocksdict.ColumnFamily
    meta_family: rocksdict.ColumnFamily


class RocksStore:
    """A `ShardStore` on disk. See `store.base.ShardStore` for each method.

    It owns every handle of its database: the folder's lock is free again when `close` returns.
    """

    def __init__(self, path: Path, shared: RocksShared) -> None:
        """Open or create the store in `path`.

        Raises CorruptStore if the files cannot be read or are of another layout, and
        ConfigurationError if another process holds the folder or it cannot be written.
        """
        self._path = path
        self._typed = _Typed(path)
        self._cursor: bytes | None = None
        self._graves_count = 0
        self._behind_ms = shared.settings.write_behind_ms
        self._behind = WriteBehind(self._behind_ms)
        _make_folder(path)
        with self._typed:
            self._handles: _Handles | None = _open(path, shared)
        try:
            self._load()
        except StateError:
            self.close()
            raise

    def get(self, saga_id: str) -> bytes | None:
        """Snapshot of a saga."""
        sagas = self._live().sagas
        if saga_id in self._behind.snapshots:
            return self._behind.snapshots[saga_id]
        with self._typed:
            found: bytes | None = sagas.get(saga_id.encode("ascii"))
        return found

    def cursor(self) -> bytes | None:
        """The last cursor applied."""
        self._live()
        return self._cursor

    def position(self) -> int:
        """Offset of the next changelog record to read."""
        self._live()
        return self._position

    def synced_at_ms(self) -> int:
        """When the store last held all that was committed."""
        self._live()
        return self._synced_at_ms

    def apply(self, batch: Batch) -> None:
        """Take over a batch. It is written soon, with those after it: all of them or none."""
        self._live()
        self._behind.add(batch)
        self._note_progress(batch)
        self._window.remove(batch.timers_removed)
        self._window.add(batch.timers_added)
        self.write_due(batch.synced_at_ms)

    def write_due(self, now_ms: int) -> None:
        """Write what has waited for long enough."""
        if self._behind.is_due(now_ms):
            self._flush()

    def replay(self, piece: Piece) -> None:
        """Take over a piece of the changelog in one write."""
        self._flush()
        self._write(piece)
        self._note_progress(piece)
        if piece.timers_added or piece.timers_removed:
            self._window.forget()
        self._bury(len(piece.timers_removed))

    def due(self, now_ms: int, limit: int) -> tuple[Timer, ...]:
        """Due timers, the earliest first."""
        self._live()
        return self._window.due(now_ms, limit)

    def next_due_ms(self) -> int | None:
        """When the earliest timer is due."""
        self._live()
        first = self._window.first()
        return None if first is None else first.due_ms

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Every saga id with its snapshot, sorted.

        Read in pieces: an iterator held open across a `yield` would keep the folder locked.
        """
        start = b""
        while True:
            piece = self._scan(self._live().sagas, start, _SCAN_COUNT)
            for key, value in piece:
                yield keys.saga_id(key), value
            if len(piece) < _SCAN_COUNT:
                return
            start = piece[-1][0] + b"\x00"

    def close(self) -> None:
        """Write what is not written yet, release every handle, then the database.

        Files or a disk that refuse that cost what is in the changelog all the same.
        """
        if self._handles is None:
            return
        with suppress(StateError, ConfigurationError):
            self._flush()
        database, self._handles = self._handles.database, None
        with suppress(CorruptStore, DiskFailed), self._typed:
            database.close()

    def destroy(self) -> None:
        """Close, and delete the folder."""
        self._behind = WriteBehind(self._behind_ms)
        self.close()
        shutil.rmtree(self._path, ignore_errors=True)

    def _load(self) -> None:
        layout = self._read_meta(keys.LAYOUT)
        if layout is None:
            with self._typed:
                self._live().meta.put(keys.LAYOUT, _LAYOUT)
        elif layout != _LAYOUT:
            raise CorruptStore(
                f"{self._path}: its layout is {layout!r}, this program's is {_LAYOUT!r}"
            )
        self._cursor = self._read_meta(keys.CURSOR)
        progress = self._read_meta(keys.PROGRESS)
        self._compare(progress)
        self._position, self._synced_at_ms = (
            (0, 0) if progress is None else keys.read_progress(progress)
        )
        self._window = TimerWindow(self._scan_timers)

    def _compare(self, progress: bytes | None) -> None:
        """Raise CorruptStore if the families are not of one batch: a lost manifest may part them."""
        handles = self._live()
        with self._typed:
            found = {handles.sagas.get(keys.POSITION), handles.timers.get(keys.POSITION)}
        if found != {progress}:
            told = sorted(-1 if each is None else keys.read_progress(each)[0] for each in found)
            raise CorruptStore(
                f"{self._path}: sagas and timers stand at {told}, not at its cursor's"
            )

    def _bury(self, removed_count: int) -> None:
        """Once in a while delete the whole past of the timer index, where only graves are."""
        self._graves_count += removed_count
        if self._graves_count < _GRAVES_COUNT_MAX:
            return
        self._graves_count = 0
        first = self._window.first()
        end = keys.POSITION if first is None else keys.timer_key(first)
        with self._typed:
            self._live().timers.delete_range(b"", end)

    def _scan_timers(self, after: Timer | None, count: int) -> list[Timer]:
        start = b"" if after is None else keys.timer_key(after) + b"\x00"
        return [keys.timer(key) for key, _ in self._scan(self._live().timers, start, count)]

    def _flush(self) -> None:
        if not self._behind:
            return
        piece = self._behind.merged(self._position, self._synced_at_ms, self._cursor)
        self._write(piece)
        self._behind = WriteBehind(self._behind_ms)
        self._bury(len(piece.timers_removed))

    def _write(self, piece: Piece) -> None:
        """Let the log have all of it or nothing."""
        handles = self._live()
        with self._typed:
            handles.database.write(_write_piece(piece, handles))

    def _scan(self, family: Rdict, start: bytes, count: int) -> list[tuple[bytes, bytes]]:
        self._flush()
        with self._typed:
            items = cast("Iterator[tuple[bytes, bytes]]", family.items(from_key=start))
            piece = list(islice(items, count))
        if piece and piece[-1][0] == keys.POSITION:  # the last key of a family
            piece.pop()
        return piece

    def _read_meta(self, key: bytes) -> bytes | None:
        meta = self._live().meta
        with self._typed:
            found: bytes | None = meta.get(key)
        return found

    def _note_progress(self, batch: Batch | Piece) -> None:
        self._position = batch.position
        self._synced_at_ms = batch.synced_at_ms
        if batch.cursor is not None:
            self._cursor = batch.cursor

    def _live(self) -> _Handles:
        if self._handles is None:
            raise StateError(f"the store {self._path} is closed")
        return self._handles


class RocksStores:
    """The `Stores` of one process: `<folder>/shard-003/`, one cache for all."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self._folder = folder
        self._shared = RocksShared(settings)

    def open(self, shard: int) -> RocksStore:
        """Open or create the store of a shard; see `RocksStore`."""
        return RocksStore(self._path(shard), self._shared)

    def set_aside(self, shard: int) -> str:
        """Rename a closed shard's folder to `shard-003.corrupt-1` (or the next free number)."""
        path = self._path(shard)
        if not path.exists():
            return ""
        number = 1
        while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
            number += 1
        path.rename(aside)
        return str(aside)

    def _path(self, shard: int) -> Path:
        return self._folder / f"shard-{shard:03d}"


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir: {path} cannot be created: {error}") from error


def _open(path: Path, shared: RocksShared) -> _Handles:
    database = Rdict(str(path), shared.database_options(), shared.family_options())
    family, handle = database.get_column_family, database.get_column_family_handle
    return _Handles(
        database=database,
        sagas=family("saga"),
        timers=family("timer"),
        meta=family("meta"),
        saga_family=handle("saga"),
        timer_family=handle("timer"),
        meta_family=handle("meta"),
    )


def _write_piece(piece: Piece, handles: _Handles) -> WriteBatch:
    write = WriteBatch(raw_mode=True)
    put, delete = write.put, write.delete
    sagas, timers, snapshots = handles.saga_family, handles.timer_family, piece.snapshots
    # Sorted: a key finds its place in a memtable beside the one before it, in half of the time.
    for saga_id in sorted(snapshots):
        if (snapshot := snapshots[saga_id]) is None:
            delete(saga_id, sagas)
        else:
            put(saga_id, snapshot, sagas)
    for key in keys.timer_keys(piece.timers_removed):
        delete(key, timers)
    for key in keys.timer_keys(piece.timers_added):
        put(key, b"", timers)
    if piece.cursor is not None:
        write.put(keys.CURSOR, piece.cursor, handles.meta_family)
    progress = keys.progress(piece.position, piece.synced_at_ms)
    write.put(keys.PROGRESS, progress, handles.meta_family)
    write.put(keys.POSITION, progress, handles.saga_family)
    write.put(keys.POSITION, progress, handles.timer_family)
    return write
