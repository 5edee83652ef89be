"""The progress bar of a worker that reads its shards' changelogs again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from orchestrator.runtime.recovery import RestoreProgress


def shown_restore() -> Callable[[RestoreProgress], None] | None:
    """Give what shows a restore on a terminal; None elsewhere, where the log tells of it."""
    return Bars() if sys.stderr.isatty() else None


class Bars:
    """One bar a shard: records, bytes and seconds left. Gone when the last one is done."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._tasks: dict[int, TaskID] = {}

    def __call__(self, progress: RestoreProgress) -> None:
        """Show how far a shard is."""
        if progress.offsets_left <= 0:
            self._finish(progress.shard)
            return
        bars = self._bars()
        if progress.shard not in self._tasks:
            self._tasks[progress.shard] = bars.add_task(f"shard {progress.shard}")
        bars.update(
            self._tasks[progress.shard],
            completed=progress.records_count,
            total=progress.records_count + progress.offsets_left,
            description=(
                f"restoring shard {progress.shard}: {progress.records_count:,} records,"
                f" {progress.bytes_count / 1e6:,.1f} MB, {progress.seconds_left:,.0f} s left"
            ),
        )

    def _bars(self) -> Progress:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.start()
        return self._progress

    def _finish(self, shard: int) -> None:
        task = self._tasks.pop(shard, None)
        if self._progress is not None and task is not None:
            self._progress.remove_task(task)
        if self._progress is not None and not self._tasks:
            self._progress.stop()
            self._progress = None
