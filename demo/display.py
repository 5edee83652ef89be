"""What the demo shows while it runs: one table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from demo.traffic import Traffic

LINE_INTERVAL_S = 5.0
NEWS_SHOWN = 6


class Display:
    """Shows the traffic and the news about the processes."""

    def __init__(self, console: Console, total: int) -> None:
        """`total` bookings are to be seen."""
        self.console = console
        self._total = total
        self._begun_s = self._told_s = time.monotonic()
        self._news: list[str] = []
        self._live: Live | None = None

    def open(self) -> AbstractContextManager[Any]:
        """Show until the block ends."""
        self._begun_s = self._told_s = time.monotonic()
        if not self.console.is_terminal:
            return nullcontext()
        self._live = Live(console=self.console, refresh_per_second=8, transient=False)
        return self._live

    def tell(self, text: str) -> None:
        """Say that something happened."""
        stamped = f"{time.monotonic() - self._begun_s:6.1f} s  {text}"
        self._news.append(stamped)
        if self._live is None:
            self.console.print(stamped, highlight=False)

    def show(self, traffic: Traffic) -> None:
        """Bring the picture up to date."""
        if self._live is not None:
            self._live.update(self._picture(traffic))
        elif time.monotonic() - self._told_s >= LINE_INTERVAL_S:
            self._told_s = time.monotonic()
            text = "  ".join(f"{name} {value}" for name, value in self._figures(traffic))
            self.console.print(f"{self._told_s - self._begun_s:6.1f} s  {text}", highlight=False)

    def _figures(self, traffic: Traffic) -> list[tuple[str, str]]:
        done = traffic.outcomes
        return [
            ("started", f"{len(traffic.acknowledged):,}"),
            ("running", f"{traffic.open_count:,}"),
            ("completed", f"{done['completed']:,}"),
            ("rolled back", f"{done['rolled_back'] + done['cancelled']:,}"),
            ("sagas/s", f"{traffic.rate():,.0f}"),
            ("p50", f"{traffic.percentile_ms(0.5):,.0f} ms"),
            ("p99", f"{traffic.percentile_ms(0.99):,.0f} ms"),
        ]

    def _picture(self, traffic: Traffic) -> Group:
        table = Table(expand=False, padding=(0, 2))
        figures = self._figures(traffic)
        for name, _ in figures:
            table.add_column(name, justify="right", min_width=9)
        table.add_row(*(value for _, value in figures))
        bar = Table.grid()  # a bar of its own would not end its line
        bar.add_row(ProgressBar(total=self._total, completed=traffic.ended_count, width=84))
        news = [Text(line, style="dim") for line in self._news[-NEWS_SHOWN:]]
        return Group(table, bar, *news)
