"""What verbs say: tables for people, JSON for programs, progress on stderr."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from orchestrator.cli import tables

Advance = Callable[[int], None]
"""Tells a progress bar how many more units are done."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def counted(count: int, what: str, many: str = "") -> str:
    """Say how many: `1 saga`, `2 sagas`."""
    return f"{count} {what if count == 1 else many or what + 's'}"


def clean(text: str) -> str:
    """Make text from outside safe for a terminal: no control character survives."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class Output:
    """Where a verb writes. With `json`, people's tables and lines are left out of stdout."""

    def __init__(
        self, *, json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self.json = json
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    @property
    def terminal(self) -> bool:
        """Whether people watch: a terminal, not `--json`."""
        return not self.json and self._stdout.isatty()

    @property
    def rich(self) -> bool:
        """Whether they watch in colour: no `NO_COLOR`."""
        return self.terminal and not os.environ.get("NO_COLOR")

    def line(self, text: str = "") -> None:
        """Write one line for people."""
        if not self.json:
            self._write(self._stdout, clean(text))

    def raw(self, text: str) -> None:
        """Write a text that is the verb's result in either mode, such as a graph."""
        self._write(self._stdout, text)

    def note(self, text: str) -> None:
        """Write one line about the work itself, to stderr in either mode."""
        self._write(self._stderr, clean(text))

    def document(self, value: Mapping[str, Any]) -> None:
        """Write the verb's one JSON document; nothing without `--json`."""
        if self.json:
            self._write(self._stdout, json.dumps(value, indent=2, ensure_ascii=False))

    def record(self, value: Mapping[str, Any]) -> None:
        """Write one JSON line of many; nothing without `--json`."""
        if self.json:
            self._write(self._stdout, json.dumps(value, ensure_ascii=False))

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[object]], drop: Sequence[str] = ()
    ) -> None:
        """Write a table for people; `drop`: which columns a narrow terminal may lack, in order."""
        if self.json:
            return
        cells = [
            [cell if isinstance(cell, tables.When) else clean(str(cell)) for cell in row]
            for row in rows
        ]
        if not self.terminal:
            self._lines(tables.plain(columns, cells))
            return
        width = shutil.get_terminal_size().columns
        table = tables.fitted(columns, cells, width, drop)
        if self.rich:
            _rich_table(self._stdout, table, width)
        else:
            self._lines(table)
        if table.left_out:
            self.note(f"No room for: {', '.join(table.left_out)}. Piped output has everything.")

    def _lines(self, table: tables.Table) -> None:
        for text in tables.lines(table):
            self._write(self._stdout, text)

    @contextmanager
    def progress(self, what: str, total: int, unit: str = "records") -> Iterator[Advance]:
        """Show how far a long read is, on stderr, and only if a person watches there."""
        if not self._stderr.isatty() or os.environ.get("NO_COLOR"):
            yield lambda _count: None
            return
        with _bar(self._stderr, what, total, unit) as advance:
            yield advance

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        stream.write(text + "\n")
        stream.flush()


def _rich_table(
    stream: TextIO, table: tables.Table, width: int
) -> None:  # pragma: no cover - needs a terminal
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for column in table.columns:
        shown.add_column(Text(column), no_wrap=True)
    for row in table.rows:
        shown.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    Console(file=stream, width=width).print(shown, soft_wrap=True)


_STYLES = {
    "completed": "green",
    "consistent": "green",
    "ok": "green",
    "cancelled": "yellow",
    "compensating": "yellow",
    "rolled_back": "yellow",
    "unknown": "yellow",
    "different": "bold red",
    "failed": "red",
    "stuck": "bold red",
    "undo_stuck": "bold red",
    "running": "cyan",
}


@contextmanager
def _bar(
    stream: TextIO, what: str, total: int, unit: str
) -> Iterator[Advance]:  # pragma: no cover - needs a terminal
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as bars:
        task = bars.add_task(clean(what), total=total or None)
        yield lambda count: bars.advance(task, count)
