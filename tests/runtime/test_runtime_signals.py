"""A stop comes to its end, whatever the process is doing when it is asked for."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PATIENCE_S = 60
WAITS = "Event().wait()"
CALLS = 'Producer({"bootstrap.servers": "127.0.0.1:1"}, logger=LOGGER).list_topics(timeout=3_600)'
"""A call of the client library that nobody answers: while it lasts Python runs no signal handler."""
CHILD = """
import os
from threading import Event
from confluent_kafka import Producer
from orchestrator.kafka.ear import LOGGER
from orchestrator.observability.log import configure
from orchestrator.runtime.signals import StopRequest

configure()
stop = StopRequest({arguments})
print("ready", flush=True)
{does}
"""


LATE = """
import ctypes
class Late:
    def __del__(self, pause=ctypes.CDLL(None).pause):
        while True:
            pause()
late = Late()
while not stop():
    Event().wait(0.01)
"""
"""Ends at once, and hangs while the interpreter lets go of everything."""


@pytest.fixture
def start():
    """Start a process that makes a `StopRequest`, and then does something."""
    children = []

    def started(arguments, does):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD.format(arguments=arguments, does=does)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield started
    for child in children:
        child.kill()
        child.communicate()


@pytest.mark.parametrize("does", [WAITS, CALLS])
def test_a_stop_that_hangs_is_cut_short_and_says_where(start, does):
    child = start("patience_s=0.2", does)

    child.send_signal(signal.SIGTERM)

    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    assert '"event": "stop_cut_short"' in said
    assert 'File "<string>"' in said


def test_one_that_hangs_at_the_interpreters_end_is_cut_short_by_the_kernel(start):
    child = start("patience_s=0.2", LATE)

    child.send_signal(signal.SIGTERM)

    assert child.wait(PATIENCE_S) == -signal.SIGALRM


def test_so_is_one_because_the_parent_is_gone(start):
    child = start("parent=os.getpid(), patience_s=0.2", f"assert stop()\n{WAITS}")

    _, said = child.communicate(timeout=PATIENCE_S)

    assert child.returncode == 0
    assert "stop_cut_short" in said


def test_another_signal_is_none_that_asks_for_a_stop(start):
    # Not with `print`, which may be what the signal interrupts.
    handler = "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'heard\\n'))"
    waits = "while not stop():\n    Event().wait(0.01)\nprint('stopped', flush=True)"
    child = start("patience_s=3_600", f"{handler}\nprint('handles', flush=True)\n{waits}")
    assert child.stdout.readline() == "handles\n"

    child.send_signal(signal.SIGUSR1)
    assert child.stdout.readline() == "heard\n"
    child.send_signal(signal.SIGTERM)

    assert child.communicate(timeout=PATIENCE_S) == ("stopped\n", "")
    assert child.returncode == 0


def test_the_second_signal_ends_the_process_at_once(start):
    child = start(
        "patience_s=3_600",
        f"while not stop():\n    Event().wait(0.01)\nprint('asked', flush=True)\n{WAITS}",
    )

    child.send_signal(signal.SIGTERM)
    assert child.stdout.readline() == "asked\n"
    child.send_signal(signal.SIGTERM)

    assert child.wait(PATIENCE_S) == -signal.SIGTERM
