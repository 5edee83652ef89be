"""Calls that may hang: what a caller is told, and that nothing waits for them."""

from __future__ import annotations

import subprocess
import sys
from threading import Event

import pytest
from confluent_kafka import KafkaError, KafkaException

from orchestrator.errors import Doubtful, StateError
from orchestrator.kafka.bounded import ABANDONED_COUNT_MAX, Bounded

SOON_S = 0.05
HANGS_AND_ENDS = """
from threading import Event
from orchestrator.errors import Doubtful
from orchestrator.kafka.bounded import Bounded
try:
    Bounded("asking").run(Event().wait, 0.05)
except Doubtful:
    print("left behind")
"""


@pytest.fixture
def hang():
    """A call that hangs until the test is over."""
    over = Event()
    yield over.wait
    over.set()


def fail():
    raise KafkaException(KafkaError(KafkaError._FENCED))


def test_a_call_that_comes_back_is_done_or_raises_its_own_error():
    bounded, done = Bounded("asking"), []
    bounded.run(lambda: done.append(1), 5)
    with pytest.raises(KafkaException):
        bounded.run(fail, 5)
    bounded.run(lambda: done.append(2), 5)
    bounded.close()
    assert done == [1, 2]


def test_a_call_that_hangs_is_doubtful_and_the_next_one_runs(hang):
    bounded, done = Bounded("asking"), []
    with pytest.raises(Doubtful, match="asking: hangs"):
        bounded.run(hang, SOON_S)
    bounded.run(lambda: done.append(1), 5)
    bounded.close()
    assert done == [1]


def test_too_many_that_hang_end_the_process(hang):
    bounded = Bounded("asking")
    for _ in range(ABANDONED_COUNT_MAX):
        with pytest.raises(Doubtful):
            bounded.run(hang, SOON_S)
    with pytest.raises(StateError, match="only a new process"):
        bounded.run(hang, SOON_S)


def test_calls_that_came_back_late_are_not_counted():
    bounded = Bounded("asking")
    for _ in range(2 * ABANDONED_COUNT_MAX):
        over = Event()
        with pytest.raises(Doubtful):
            bounded.run(over.wait, SOON_S)
        over.set()
        bounded._abandoned[-1]._thread.join(10)


def test_no_process_waits_for_what_hangs():
    ended = subprocess.run(
        [sys.executable, "-c", HANGS_AND_ENDS],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "left behind\n", "")
