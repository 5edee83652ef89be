"""Transaction: a small durable store for handlers, committed together with the ledger's entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Self

from orchestrator.core.ids import is_id
from orchestrator.errors import ConfigurationError

KEY_BYTES_MAX = 1024
"""A key is for finding, not for storing; RocksDB keeps keys in memory for its index."""


class Transaction:
    """Tables of bytes by text key. What is written is seen at once by this and later handlers.

    Every write of a handler becomes durable with the answer that the handler returns, or not at
    all: a declared failure, an exception or a crash leaves nothing behind. Handlers that take a
    `Transaction` run one after another, so what was read stays true until the handler returns.
    """

    def __init__(
        self,
        get: Callable[[bytes], bytes | None],
        scan: Callable[[bytes], Iterator[tuple[bytes, bytes]]],
    ) -> None:
        """Work over committed rows: `get` finds one, `scan` lists in order those with a prefix."""
        self._get, self._scan = get, scan
        self._batch: dict[bytes, bytes | None] = {}
        self._step: dict[bytes, bytes | None] = {}

    @classmethod
    def in_memory(cls) -> Self:
        """Give an empty one without a ledger, for the test of a handler."""
        return cls(lambda _key: None, lambda _prefix: iter(()))

    def get(self, table: str, key: str) -> bytes | None:
        """Give a row's value, None if there is none."""
        return self._find(row_key(table, key))

    def put(self, table: str, key: str, value: bytes) -> None:
        """Write a row."""
        self._step[row_key(table, key)] = value if type(value) is bytes else bytes(value)

    def delete(self, table: str, key: str) -> None:
        """Remove a row. One that is not there is no error."""
        self._step[row_key(table, key)] = None

    def number(self, table: str, key: str) -> int:
        """Give a row that `add` wrote, 0 if there is none. Raises ValueError if it is no number."""
        return _number(self._find(row_key(table, key)))

    def add(self, table: str, key: str, amount: int) -> int:
        """Add to a row that holds a whole number (as decimal text, 0 if absent); give the sum."""
        row = row_key(table, key)
        total = _number(self._find(row)) + amount
        self._step[row] = b"%d" % total
        return total

    def rows(self, table: str) -> Iterator[tuple[str, bytes]]:
        """Give every row of a table in the order of the keys, as it is when this is called."""
        prefix = row_key(table, "")
        found: dict[bytes, bytes | None] = dict(self._scan(prefix))
        for layer in (self._batch, self._step):
            found.update((key, value) for key, value in layer.items() if key.startswith(prefix))
        for key in sorted(found):
            value = found[key]
            if value is not None:
                yield key[len(prefix) :].decode(), value

    def close_step(self, *, keep: bool) -> None:
        """End a handler's work; for the ledger, not for handlers."""
        if keep:
            self._batch.update(self._step)
        self._step.clear()

    def take_batch(self) -> dict[bytes, bytes | None]:
        """Give what was kept since the last call (None: delete); for the ledger."""
        batch, self._batch = self._batch, {}
        return batch

    def _find(self, row: bytes) -> bytes | None:
        if row in self._step:
            return self._step[row]
        if row in self._batch:
            return self._batch[row]
        return self._get(row)


def row_key(table: str, key: str) -> bytes:
    """Spell a row's key: table, NUL, key. Raises ConfigurationError for an impossible name."""
    row = key.encode()
    if len(row) > KEY_BYTES_MAX:
        raise ConfigurationError(
            f"a key of table {table} has {len(row)} bytes, allowed: {KEY_BYTES_MAX}"
        )
    return _prefix(table) + row


@lru_cache(1_024)
def _prefix(table: str) -> bytes:
    if not is_id(table):
        raise ConfigurationError(f"table {table!r} must be of [A-Za-z0-9._-], 1 to 128 of them")
    return table.encode() + b"\x00"


def _number(value: bytes | None) -> int:
    return 0 if value is None else int(value)
