"""What was applied to a store and is not written yet.

A saga changes with each answer, several times a second. Its store is a cache of the changelog, which
has every change: so a store need not write each, only what is left of them after a while. A crash
loses what is here, and the restart reads it again, as it does with what it had not applied.
"""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.core.state import Timer
from orchestrator.store.base import Batch

BYTES_MAX = 4 * 1024 * 1024
"""Bytes of snapshots taken over until what is left of them is written, however soon."""


class WriteBehind:
    """Batches folded into one. Pure; whoever holds it writes `merged`, and makes a new one."""

    def __init__(self, wait_ms: int) -> None:
        """Hold nothing. `wait_ms`: how long a batch may wait, since its `synced_at_ms`."""
        self._wait_ms = wait_ms
        self._since_ms: int | None = None
        self._last_ms = 0
        self._position = 0
        self._cursor: bytes | None = None
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
        """Fold a batch into what is held."""
        if self._since_ms is None:
            self._since_ms = batch.synced_at_ms
        self._last_ms, self._position = batch.synced_at_ms, batch.position
        if batch.cursor is not None:
            self._cursor = batch.cursor
        self._snapshots.update(batch.puts)
        self._bytes_count += sum(map(len, batch.puts.values()))
        self._snapshots.update(dict.fromkeys(batch.deletes))
        # One that is disarmed may be on disk, also if it was armed here: it may have been there twice.
        self._timers.update(dict.fromkeys(batch.timers_removed, False))
        self._timers.update(dict.fromkeys(batch.timers_added, True))

    def merged(self) -> Batch:
        """All of it as one batch, sorted: the quicker a memtable finds their places."""
        snapshots, timers = self._snapshots, self._timers
        return Batch(
            self._position,
            self._last_ms,
            self._cursor,
            {saga: found for saga in sorted(snapshots) if (found := snapshots[saga]) is not None},
            tuple(saga for saga, found in snapshots.items() if found is None),
            tuple(timer for timer, is_armed in timers.items() if is_armed),
            tuple(timer for timer, is_armed in timers.items() if not is_armed),
        )
