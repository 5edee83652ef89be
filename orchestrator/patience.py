"""Waiting for brokers when a process starts: whoever starts first waits for the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from orchestrator.errors import Doubtful, Unreachable
from orchestrator.observability.log import Log

T = TypeVar("T")

ANSWER_S = 5.0
"""Longest wait for one answer before the log says that we wait, and a stop is noticed."""
_PAUSE_S = 0.2
"""Before the next question, should the last have been refused at once."""


def until_answered(question: Callable[[], T], stop: Callable[[], bool], log: Log) -> T | None:
    """Ask brokers again and again until they answer; None if `stop()` came first.

    Only silence is waited for. What brokers do answer is raised: ConfigurationError, Fenced.
    """
    while not stop():
        try:
            return question()
        except (Unreachable, Doubtful) as error:
            log.warning("waiting_for_brokers", text=str(error))
            time.sleep(_PAUSE_S)
    return None
