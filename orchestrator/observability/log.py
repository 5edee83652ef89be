"""Structured logs: one JSON object a line, on stderr, never a payload.

Keys that recur: `saga`, `shard`, `cause` (topic/partition/offset), `reason`.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol, TextIO, cast

from orchestrator.observability.lean import structlog

_CLIENT_LOGGER = "orchestrator.kafka"


class Log(Protocol):
    """The part of structlog's logger that is used here."""

    def debug(self, event: str, **fields: object) -> object:
        """Log what only a developer wants to see."""

    def info(self, event: str, **fields: object) -> object:
        """Log something notable."""

    def warning(self, event: str, **fields: object) -> object:
        """Log something that somebody should look at some time."""

    def error(self, event: str, **fields: object) -> object:
        """Log something that somebody must look at now."""


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Set logging up for this process: JSON lines of at least `level`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.format_exc_info,  # a traceback, as the field `exception`
            structlog.processors.JSONRenderer(sort_keys=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=True,
    )

    client = logging.getLogger(_CLIENT_LOGGER)
    client.handlers, client.propagate = [_Bridge()], False


class _Bridge(logging.Handler):
    """Passes on what the Kafka client says: JSON like every line, and no flood of reconnects."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._notes = Bounded(get())

    def emit(self, record: logging.LogRecord) -> None:
        """Log one line of the client library; its lines begin with a facility such as `FAIL`."""
        text = record.getMessage()
        self._notes.warning("kafka_client", text.split(" ", 1)[0], text=text)


def get(**fields: object) -> Log:
    """A logger that adds `fields` to every line."""
    return cast("Log", structlog.get_logger(**fields))


class Bounded:
    """Logs at most so many lines a reason and window, then only how many were kept back.

    A flood of bad records must not become a flood of log lines: the counters tell the rest.
    """

    def __init__(
        self,
        log: Log,
        *,
        lines_max: int = 5,
        window_s: float = 10.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._lines_max = lines_max
        self._window_s = window_s
        self._monotonic_s = monotonic_s
        self._began_s = monotonic_s()
        self._lines: Counter[str] = Counter()

    def warning(self, event: str, reason: str, **fields: object) -> None:
        """Log a warning of this event and reason, unless there were too many lately."""
        if self._admits(f"{event}/{reason}"):
            self._log.warning(event, reason=reason, **fields)

    def error(self, event: str, reason: str, **fields: object) -> None:
        """Log an error of this event and reason, unless there were too many lately."""
        if self._admits(f"{event}/{reason}"):
            self._log.error(event, reason=reason, **fields)

    def _admits(self, key: str) -> bool:
        now_s = self._monotonic_s()
        if now_s - self._began_s >= self._window_s:
            kept_back = {
                k: n - self._lines_max for k, n in self._lines.items() if n > self._lines_max
            }
            if kept_back:
                self._log.warning("log_lines_kept_back", counts=kept_back)
            self._lines.clear()
            self._began_s = now_s
        self._lines[key] += 1
        return self._lines[key] <= self._lines_max
