"""MemoryLedger: the ledger's twin without a disk, for tests and rehearsals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from orchestrator.participant.ledger import Entry
from orchestrator.participant.transaction import Transaction

K = TypeVar("K")
V = TypeVar("V")


class MemoryLedger:
    """Keeps what was committed in `rows` and `written`; a new one over both is a restart."""

    def __init__(
        self,
        written: dict[str, Entry] | None = None,
        rows: dict[bytes, bytes] | None = None,
    ) -> None:
        self.written: dict[str, Entry] = {} if written is None else written
        self.rows: dict[bytes, bytes] = {} if rows is None else rows
        self._recorded: dict[str, Entry | None] = {}
        self.handle = Transaction(self.rows.get, self._scan)

    def find_all(self, operations: Sequence[str]) -> Sequence[Entry | None]:
        """See Ledger."""
        return list(map(self.find, operations))

    def find(self, operation: str) -> Entry | None:
        """See Ledger."""
        if operation in self._recorded:
            return self._recorded[operation]
        return self.written.get(operation)

    def record(self, entry: Entry) -> None:
        """See Ledger."""
        self._recorded[entry.operation] = entry

    def forget(self, operation: str) -> None:
        """See Ledger."""
        self._recorded[operation] = None

    def open_step(self) -> None:
        """See Ledger."""

    def close_step(self, *, keep: bool) -> None:
        """See Ledger."""
        self.handle.close_step(keep=keep)

    def commit(self) -> None:
        """See Ledger."""
        _merge(self.written, self._recorded)
        _merge(self.rows, self.handle.take_batch())
        self._recorded = {}

    def entries(self) -> Iterator[Entry]:
        """See Ledger."""
        return iter([self.written[operation] for operation in sorted(self.written)])

    def close(self) -> None:
        """See Ledger."""
        self._recorded = {}
        self.handle.close_step(keep=False)
        self.handle.take_batch()

    def _scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return iter(sorted(row for row in self.rows.items() if row[0].startswith(prefix)))


def _merge(into: dict[K, V], changes: dict[K, V | None]) -> None:
    for key, value in changes.items():
        if value is None:
            into.pop(key, None)
        else:
            into[key] = value
