"""What was applied to a store and is not written yet.

A saga changes with each answer, several times a second. Its store is a cache of the changelog, which
has every change: so a store need not write each, only what is left of them after a while. A crash
loses what is here, and the restart reads it again, as it does with what it had not applied.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.state import RawTimer, Timer
from orchestrator.store.base import Batch, Piece

BYTES_MAX = 4 * 1024 * 1024
"""Bytes of snapshots taken over until what is left of them is written, however soon."""


class WriteBehind:
    """Batches folded into one piece. Pure; whoever holds it writes `merged`, and makes a new one."""

    def __init__(self, wait_ms: int) -> None:
        """Hold nothing. `wait_ms`: how long a batch may wait, since its `synced_at_ms`."""
        self._wait_ms = wait_ms
        self._since_ms: int | None = None
        self._snapshots: dict[str, bytes | None] = {}
        self._timers: dict[Timer, bool] = {}
        self._bytes_count = 0

    def __bool__(self) -> bool:
        """Whether anything is held."""
        return self._since_ms is not None

    @property
    def snapshots(self) -> Mapping[str, bytes | None]:
        """By saga id, what is newer than on disk; None: the saga is forgotten."""
        return self._snapshots

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time to write: a batch has waited, the clock was set back, or it is much."""
        if self._since_ms is None:
            return False
        is_waiting = 0 <= now_ms - self._since_ms < self._wait_ms
        return not is_waiting or self._bytes_count >= BYTES_MAX

    def add(self, batch: Batch) -> None:
        """Fold in what a batch does to sagas and timers."""
        if self._since_ms is None:
            self._since_ms = batch.synced_at_ms
        self._snapshots.update(batch.puts)
        self._bytes_count += sum(map(len, batch.puts.values()))
        self._snapshots.update(dict.fromkeys(batch.deletes))
        # One that is disarmed may be on disk, also if it was armed here: it may have been there twice.
        self._timers.update(dict.fromkeys(batch.timers_removed, False))
        self._timers.update(dict.fromkeys(batch.timers_added, True))

    def merged(self, position: int, synced_at_ms: int, cursor: bytes | None) -> Piece:
        """All of it as one piece; where it ends is the store's to say."""
        added: list[RawTimer] = []
        removed: list[RawTimer] = []
        for (due_ms, saga_id, step), is_armed in self._timers.items():
            (added if is_armed else removed).append((due_ms, saga_id.encode("ascii"), step))
        snapshots = {saga_id.encode("ascii"): held for saga_id, held in self._snapshots.items()}
        return Piece(position, synced_at_ms, cursor, snapshots, added, removed)
