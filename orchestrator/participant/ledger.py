"""The port of a participant's ledger: what it has already done, and what it answered.

An operation is one step of one saga in one direction (`trip-1/reserve_seat/do`). Its entry and the
effects of a handler that works inside the ledger become durable together, in one `commit`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from orchestrator.core.commands import ReplyOutcome

LEDGER_KINDS = ("auto", "rocksdb", "sqlite")
"""What `open_ledger` knows."""
BEGUN = 0
"""A handler with effects elsewhere was about to run; how that ended is not written down."""
SUCCEEDED = int(ReplyOutcome.SUCCEEDED)
FAILED = int(ReplyOutcome.FAILED)


class Entry(NamedTuple):
    """Where one operation stands."""

    operation: str
    """`saga/step/direction`."""
    outcome: int
    """BEGUN, SUCCEEDED or FAILED. The last two are decisive: the handler never runs again."""
    doubtful: bool
    """An earlier run of the handler may have left effects elsewhere, so an undo has to look."""
    applied_count: int
    """How often effects of this operation were made durable: 0 or 1, else something is broken."""
    at_ms: int
    """When it was written, in ms since the epoch, by this machine's clock."""
    text: str
    """For people: why it failed."""
    payload: bytes
    """The encoded result or declared failure: the answer that is given again."""

    @property
    def decisive(self) -> bool:
        """Whether this is the answer for good."""
        return self.outcome != BEGUN


class Ledger(Protocol):
    """Durable entries, and the data of handlers that work inside. One batch at a time.

    What is recorded is seen by `find` at once and survives a death of the process from `commit`
    on: all of it or nothing. Not safe for threads; the caller holds a lock.
    """

    @property
    def handle(self) -> object:
        """What a handler that works inside gets: a `Transaction`, or a `sqlite3.Connection`."""
        ...

    def find_all(self, operations: Sequence[str]) -> Sequence[Entry | None]:
        """Do as `find` for each; `find` is then cheap for them until the next commit."""
        ...

    def find(self, operation: str) -> Entry | None:
        """The entry of an operation, written or recorded; None if there is none."""
        ...

    def record(self, entry: Entry) -> None:
        """Put an entry into the batch, in place of an earlier one of the same operation."""
        ...

    def forget(self, operation: str) -> None:
        """Take a BEGUN entry out again. One that is not there is no error."""
        ...

    def open_step(self) -> None:
        """Begin the work of one handler on `handle`."""
        ...

    def close_step(self, *, keep: bool) -> None:
        """End it: its writes join the batch, or are as if they had never been."""
        ...

    def commit(self) -> None:
        """Make the batch durable. Nothing recorded is no error."""
        ...

    def entries(self) -> Iterator[Entry]:
        """Every durable entry, in the order of the operations."""
        ...

    def close(self) -> None:
        """Release files and locks; what was not committed is gone. Closing twice is no error."""
        ...
