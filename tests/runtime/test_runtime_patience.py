"""Waiting for brokers at the start of a process."""

from __future__ import annotations

import pytest

from orchestrator.errors import ConfigurationError, Doubtful, Unreachable
from orchestrator.patience import until_answered


class Words:
    """A log that keeps what was said."""

    def __init__(self):
        self.said = []

    def warning(self, event, **fields):
        self.said.append((event, fields["text"]))


def answers(*given):
    """A question that is answered so, one after the other; errors are raised."""
    left = list(given)

    def ask():
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_silence_is_waited_for_and_each_time_it_is_said_why():
    log = Words()
    ask = answers(Unreachable("nobody at b:9092"), Doubtful("no coordinator"), 7)

    assert until_answered(ask, lambda: False, log) == 7

    said = ["nobody at b:9092", "no coordinator"]
    assert log.said == [("waiting_for_brokers", text) for text in said]


def test_an_answer_that_only_a_person_can_cure_is_raised():
    with pytest.raises(ConfigurationError, match="no such topics"):
        until_answered(answers(ConfigurationError("no such topics")), lambda: False, Words())


def test_a_stop_ends_the_wait():
    log = Words()
    asked = iter([False, True])

    assert until_answered(answers(Unreachable("nobody")), lambda: next(asked), log) is None

    assert len(log.said) == 1
