"""SqliteLedger: entries beside a participant's own SQL tables, in one transaction with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from orchestrator.errors import ConfigurationError, CorruptStore, Fenced
from orchestrator.guard import Raised, call
from orchestrator.participant.ledger import BEGUN, Entry

T = TypeVar("T")
BUSY_MS = 30_000
"""How long to wait for another process's transaction: longer than any batch should take."""
_SCHEMA = """
create table if not exists saga_ledger (
    operation text primary key, outcome integer not null, doubtful integer not null,
    applied_count integer not null, at_ms integer not null, text text not null,
    payload blob not null
) without rowid
"""
_COLUMNS = "operation, outcome, doubtful, applied_count, at_ms, text, payload"
# The comment keeps our own statements apart from a handler's in the statement cache: a handler's
# `commit` is compiled, and refused, on its own.
_BEGIN = "begin immediate -- ledger"
_COMMIT = "commit -- ledger"
_ROLLBACK = "rollback -- ledger"
# An answer for good is never replaced, whoever wrote it: a process that was thrown out of the group
# and does not know it yet would otherwise apply a second time what its heir has applied.
_WRITE = f"""
insert into saga_ledger ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?)
on conflict do update set outcome = excluded.outcome, doubtful = excluded.doubtful,
    applied_count = excluded.applied_count, at_ms = excluded.at_ms, text = excluded.text,
    payload = excluded.payload
where saga_ledger.outcome = {BEGUN}
"""  # noqa: S608  # constants
_FORGET = f"delete from saga_ledger where operation = ? and outcome = {BEGUN}"  # noqa: S608


class SqliteLedger:
    """Handlers get the connection, and write to their own tables of the same file.

    Several processes of one machine may share it. Raises ConfigurationError if the file cannot be
    opened or stays locked, CorruptStore if it cannot be read.
    """

    def __init__(self, path: Path, *, fsync: bool = True, read_only: bool = False) -> None:
        """Open the file `path`, made if needed. `read_only` looks at it beside its owners."""
        self._path = path
        if not read_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.is_file():
            raise ConfigurationError(f"there is no ledger at {path}")
        uri = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        self._in_handler = False
        self._recorded: dict[str, Entry | None] = {}
        self.handle: sqlite3.Connection = self._checked(
            # Several threads use it in turn, each under the caller's lock.
            lambda: sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        )
        self._execute(f"pragma busy_timeout = {BUSY_MS}")
        if not read_only:
            self._execute("pragma journal_mode = wal")
            self._execute(f"pragma synchronous = {'full' if fsync else 'normal'}")
            self._execute(_SCHEMA)
        self.handle.set_authorizer(self._authorize)

    def find_all(self, operations: Sequence[str]) -> Sequence[Entry | None]:
        """See Ledger."""
        return list(map(self.find, operations))

    def find(self, operation: str) -> Entry | None:
        """See Ledger."""
        if operation in self._recorded:
            return self._recorded[operation]
        row = self._execute(
            f"select {_COLUMNS} from saga_ledger where operation = ?",  # noqa: S608  # constant
            (operation,),
        ).fetchone()
        return None if row is None else Entry(row[0], row[1], bool(row[2]), *row[3:])

    def record(self, entry: Entry) -> None:
        """See Ledger."""
        # Kept back until the commit: a handler with effects elsewhere may take long, and must not
        # hold the file's only write lock meanwhile.
        self._recorded[entry.operation] = entry

    def forget(self, operation: str) -> None:
        """See Ledger."""
        self._recorded[operation] = None

    def open_step(self) -> None:
        """See Ledger."""
        self._begin()
        self._execute("savepoint handler")
        self._in_handler = True

    def close_step(self, *, keep: bool) -> None:
        """See Ledger."""
        self._in_handler = False
        if not self.handle.in_transaction:
            # Only a statement of the handler's can have done this, in a way that we did not
            # foresee. What the batch wrote is in doubt, so nothing of it may be answered.
            raise CorruptStore("a handler ended the transaction that its ledger entry belongs to")
        if not keep:
            self._execute("rollback to handler")
        self._execute("release handler")

    def commit(self) -> None:
        """See Ledger. Raises Fenced if another process has answered one of these meanwhile."""
        recorded, self._recorded = self._recorded, {}
        if recorded:
            self._begin()
        for operation, entry in recorded.items():
            if entry is None:
                self._execute(_FORGET, (operation,))
            elif self._execute(_WRITE, entry).rowcount != 1:
                self._execute(_ROLLBACK)
                raise Fenced(f"another process has answered {operation} meanwhile")
        if self.handle.in_transaction:
            self._execute(_COMMIT)

    def entries(self) -> Iterator[Entry]:
        """See Ledger."""
        for row in self._execute(
            f"select {_COLUMNS} from saga_ledger order by operation"  # noqa: S608  # constant
        ):
            yield Entry(row[0], row[1], bool(row[2]), *row[3:])

    def close(self) -> None:
        """See Ledger."""
        self.handle.close()

    def _begin(self) -> None:
        if not self.handle.in_transaction:
            self._execute(_BEGIN)

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        return self._checked(lambda: self.handle.execute(statement, values))

    def _checked(self, function: Callable[[], T]) -> T:
        value = call(function)
        if not isinstance(value, Raised):
            return value
        if isinstance(value.error, sqlite3.OperationalError):
            raise ConfigurationError(
                f"the ledger at {self._path} cannot be used: {value.summary}"
            ) from value.error
        raise CorruptStore(
            f"the ledger at {self._path} is broken: {value.summary}"
        ) from value.error

    def _authorize(self, action: int, *_details: str | None) -> int:
        # A handler that commits or rolls back would part its effects from its ledger entry.
        ends = action == sqlite3.SQLITE_TRANSACTION
        return sqlite3.SQLITE_DENY if ends and self._in_handler else sqlite3.SQLITE_OK
