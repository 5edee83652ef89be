"""Tables for a terminal: what fits into its width stays on one line. Pure.

Piped output is never cut; see `plain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

_GAP = 2
_CELL_WIDTH_MIN = 8
"""A column that can be no wider than this says nothing; the least important is left out instead."""


class When(NamedTuple):
    """An instant in a table, in ms since the epoch; 0: never."""

    ms: int

    def __str__(self) -> str:
        """ISO 8601 in UTC with milliseconds; empty for never."""
        if not self.ms:
            return ""
        return datetime.fromtimestamp(self.ms / 1_000, UTC).isoformat(timespec="milliseconds")

    @property
    def date(self) -> str:
        """The day, such as 2026-01-31; empty for never."""
        return str(self)[:10]

    @property
    def time(self) -> str:
        """The time of day, such as 04:50:37.535; empty for never."""
        return str(self)[11:23]


class Table(NamedTuple):
    """A table as it is printed."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: tuple[str, ...] = ()
    """Columns for which there was no room."""


def plain(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Give everything as it is."""
    return Table(tuple(columns), tuple(tuple(map(str, row)) for row in rows))


def fitted(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int,
    drop: Sequence[str] = (),
) -> Table:
    """Shorten times, leave columns out (those of `drop`, in that order), then cut long cells."""
    left = list(zip(columns, zip(*rows, strict=True), strict=True)) if rows else []
    if not rows:
        return Table(tuple(columns), ())
    texts = {name: _texts(name, cells) for name, cells in left}
    left_out: list[str] = []
    for name in drop:
        if _need(texts) <= width:
            break
        if name in texts:
            del texts[name]
            left_out.append(name)
    shown = _cut(list(texts.values()), width)
    heads = tuple(column[0] for column in shown)
    lines = zip(*(column[1:] for column in shown), strict=True)
    return Table(heads, tuple(lines), tuple(left_out))


def _texts(name: str, cells: Sequence[object]) -> list[str]:
    """Give heading and cells of a column; times lose a day that they share."""
    days = {cell.date for cell in cells if isinstance(cell, When)} - {""}
    if len(days) == 1:
        return [f"{name} ({days.pop()})", *(_time(cell) for cell in cells)]
    if days:
        return [name, *(f"{c.date} {c.time}".strip() for c in cells if isinstance(c, When))]
    return [name, *map(str, cells)]


def _time(cell: object) -> str:
    return cell.time if isinstance(cell, When) else str(cell)


def _need(texts: dict[str, list[str]]) -> int:
    """Give the width below which a cell would say nothing any more."""
    widths = [max(map(len, column)) for column in texts.values()]
    # The widest column may be cut to a third of what it wants: the rest are ids, names, numbers.
    widest = max(widths)
    return sum(widths) - widest + max(widest // 3, min(widest, 20)) + _GAP * (len(widths) - 1)


def _cut(columns: list[list[str]], width: int) -> list[list[str]]:
    """Cut the widest columns until all fit; cells that were cut end with an ellipsis."""
    widths = [max(map(len, column)) for column in columns]
    room = width - _GAP * (len(columns) - 1)
    while sum(widths) > room and max(widths) > _CELL_WIDTH_MIN:
        widest = max(widths)
        second = max((one for one in widths if one < widest), default=0)
        many = widths.count(widest)
        target = max(second, _CELL_WIDTH_MIN, widest - -(-(sum(widths) - room) // many))
        widths = [min(one, target) if one == widest else one for one in widths]
    return [
        [cell if len(cell) <= wide else cell[: wide - 1] + "…" for cell in column]
        for column, wide in zip(columns, widths, strict=True)
    ]


def lines(table: Table) -> Iterator[str]:
    """Write a table as text, its columns aligned."""
    grid = [table.columns, *table.rows]
    widths = [max(len(row[index]) for row in grid) for index in range(len(table.columns))]
    for row in grid:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (" " * _GAP).join(padded).rstrip()
