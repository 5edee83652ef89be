"""What a local cluster is doing while its caller waits, and two ways to show it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TextIO


class Phase(StrEnum):
    """The part of the work that a `Progress` speaks of, in the order in which they come."""

    DOWNLOAD = "download"
    IMAGE = "image"
    FORMAT = "format"
    START = "start"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Progress:
    """One step forward."""

    phase: Phase
    what: str
    """The jar, node or image that moved, for people."""
    done: int
    """How much of `total` is done: bytes while downloading, else a count of nodes."""
    total: int


OnProgress = Callable[[Progress], None]
"""Called, often, from the thread that starts the cluster."""


def silent(_: Progress) -> None:
    """Show nothing."""


@contextmanager
def shown_progress(stream: TextIO | None = None) -> Iterator[OnProgress]:
    """Show progress on `stream` (stderr): a live bar on a terminal, plain lines otherwise."""
    out = sys.stderr if stream is None else stream
    if out.isatty():
        with _bars(out) as on_progress:
            yield on_progress
    else:
        yield _Lines(out)


@contextmanager
def _bars(stream: TextIO) -> Iterator[OnProgress]:
    # rich costs 50 ms to import: only who watches pays it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.progress import Progress as Bars  # noqa: PLC0415

    columns = (
        SpinnerColumn(),
        TextColumn("Kafka: {task.description:<9}"),
        BarColumn(),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", style="dim"),
    )
    with Bars(*columns, console=Console(file=stream), transient=True) as bars:
        tasks = {
            phase: bars.add_task(phase, visible=False, start=False, amount="", what="")
            for phase in Phase
        }

        def on_progress(progress: Progress) -> None:
            task = tasks[progress.phase]
            bars.start_task(task)
            bars.update(
                task,
                visible=True,
                completed=progress.done,
                total=progress.total,
                amount=_amount(progress),
                what=progress.what if progress.done < progress.total else "",
            )

        yield on_progress


class _Lines:
    """One line at each phase's start and end and, while downloading, at each quarter."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown: tuple[Phase, int] | None = None

    def __call__(self, progress: Progress) -> None:
        """Print the progress unless the line before it said the same."""
        quarter = 4 * progress.done // max(progress.total, 1)
        if self._shown == (progress.phase, quarter):
            return
        self._shown = (progress.phase, quarter)
        print(
            f"Kafka: {progress.phase} {_amount(progress)} {progress.what}".rstrip(),
            file=self._stream,
            flush=True,
        )


def _amount(progress: Progress) -> str:
    if progress.phase is Phase.DOWNLOAD:
        return f"{progress.done / 1e6:.0f}/{progress.total / 1e6:.0f} MB"
    return f"{progress.done}/{progress.total}"
