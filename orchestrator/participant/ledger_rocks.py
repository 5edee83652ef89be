"""RocksLedger: entries and the handlers' tables in one RocksDB, one write batch a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

from rocksdict import AccessType, BlockBasedOptions, ColumnFamily, Options, Rdict, WriteBatch

from orchestrator.errors import ConfigurationError, CorruptStore
from orchestrator.guard import Raised, call
from orchestrator.participant import ledger_bytes
from orchestrator.participant.ledger import Entry
from orchestrator.participant.transaction import Transaction

T = TypeVar("T")
_FAMILIES = ("ledger", "data")
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
"""Of each family: bounds memory, and the log that is read again when the ledger is opened."""
_FILTER_SHARE = 0.02
"""Of a write buffer, for the filter of what is in it: a look-up that finds nothing, which is nearly
every one, is 1 us instead of 3."""


class RocksLedger:
    """Belongs to one process: a second one is refused with ConfigurationError.

    Raises CorruptStore when the files cannot be read. They are the only copy of what was done:
    restore them, do not delete them.
    """

    def __init__(self, path: Path, *, fsync: bool = True, read_only: bool = False) -> None:
        """Open `path`, made if needed. `read_only` looks at it as it is now, beside its owner."""
        self._path = path
        self._fsync = fsync
        if not read_only:
            path.mkdir(parents=True, exist_ok=True)
        elif not path.is_dir():
            raise ConfigurationError(f"there is no ledger at {path}")
        access = AccessType.read_only() if read_only else AccessType.read_write()
        families = {name: _options() for name in _FAMILIES}
        opened = call(Rdict, str(path), _options(), families, access)
        if isinstance(opened, Raised):
            raise _error(path, opened) from opened.error
        self._db: Rdict | None = opened
        self._ledger, self._data = (opened.get_column_family(name) for name in _FAMILIES)
        self._handles: tuple[ColumnFamily, ...] = tuple(
            opened.get_column_family_handle(name) for name in _FAMILIES
        )
        self._known: dict[str, Entry | None] = {}
        """What was read or recorded since the last commit, and of it what was recorded."""
        self._recorded: dict[str, Entry | None] = {}
        self.handle = Transaction(self._data.get, self._scan)

    def find_all(self, operations: Sequence[str]) -> Sequence[Entry | None]:
        """See Ledger."""
        known = self._known
        new = operations
        if known:
            new = [operation for operation in operations if operation not in known]
        rows = [operation.encode() for operation in new]
        values = cast("list[bytes | None]", self._checked(self._ledger.get, rows))
        known.update(dict.fromkeys(new))
        for operation, value in zip(new, values, strict=True):
            if value is not None:
                known[operation] = ledger_bytes.decode(operation, value)
        return [known[operation] for operation in operations]

    def find(self, operation: str) -> Entry | None:
        """See Ledger."""
        if operation in self._known:
            return self._known[operation]
        return self.find_all([operation])[0]

    def record(self, entry: Entry) -> None:
        """See Ledger."""
        self._known[entry.operation] = self._recorded[entry.operation] = entry

    def forget(self, operation: str) -> None:
        """See Ledger."""
        self._known[operation] = self._recorded[operation] = None

    def open_step(self) -> None:
        """See Ledger."""

    def close_step(self, *, keep: bool) -> None:
        """See Ledger."""
        self.handle.close_step(keep=keep)

    def commit(self) -> None:
        """See Ledger."""
        rows = self.handle.take_batch()
        recorded, self._recorded = self._recorded, {}
        self._known = {}
        if not rows and not recorded:
            return
        batch = WriteBatch(raw_mode=True)
        put, (ledger, data) = batch.put, self._handles
        names = [operation.encode() for operation in recorded]
        values = [None if e is None else ledger_bytes.encode(e) for e in recorded.values()]
        for name, value in zip(names, values, strict=True):
            if value is None:
                batch.delete(name, ledger)
            else:
                put(name, value, ledger)
        for key, value in rows.items():
            if value is None:
                batch.delete(key, data)
            else:
                put(key, value, data)
        self._write(batch)

    def entries(self) -> Iterator[Entry]:
        """See Ledger."""
        for operation, value in self._items(self._ledger, b""):
            yield ledger_bytes.decode(operation.decode(), value)

    def close(self) -> None:
        """See Ledger."""
        if self._db is None:
            return
        db, self._db = self._db, None
        # RocksDB stays open, and locked, for as long as any of its handles lives.
        self._ledger.close()
        self._data.close()
        self._handles = ()
        self.handle = Transaction.in_memory()
        db.close()

    def _write(self, batch: WriteBatch) -> None:
        if self._db is None:
            raise CorruptStore(f"the ledger at {self._path} is closed")
        self._checked(self._db.write, batch)
        if self._fsync:
            # Not WriteOptions.sync: that would hold the interpreter's lock while the disk works.
            self._checked(self._db.flush_wal, True)

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self._items(self._data, prefix):
            if not key.startswith(prefix):
                return
            yield key, value

    @staticmethod
    def _items(family: Rdict, first: bytes) -> Iterator[tuple[bytes, bytes]]:
        return cast("Iterator[tuple[bytes, bytes]]", family.items(from_key=first))

    def _checked(self, function: Callable[..., T], *args: object) -> T:
        # The client library raises bare `Exception`; the guard is where those are told apart.
        value = call(function, *args)
        if isinstance(value, Raised):
            raise _error(self._path, value) from value.error
        return value


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.create_missing_column_families(True)
    table = BlockBasedOptions()
    # Nearly every look-up is for an operation that is not there: the filter spares the disk.
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_memtable_prefix_bloom_ratio(_FILTER_SHARE)
    options.set_memtable_whole_key_filtering(True)
    # There is one writer; to be ready for others has its price in each row.
    options.set_allow_concurrent_memtable_write(False)
    options.set_max_total_wal_size(4 * _WRITE_BUFFER_BYTES)
    options.set_max_open_files(256)
    options.set_keep_log_file_num(2)
    return options


def _error(path: Path, raised: Raised) -> ConfigurationError | CorruptStore:
    if "lock" in raised.summary.lower():
        return ConfigurationError(
            f"the ledger at {path} is in use: a RocksDB ledger belongs to one process. Stop the"
            f" other one, give this one its own ledger_path, or use ledger = sqlite"
        )
    return CorruptStore(f"the ledger at {path} cannot be used: {raised.summary}")
