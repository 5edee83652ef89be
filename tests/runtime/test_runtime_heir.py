"""The worker's side of its standby, with standbys that misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from orchestrator.errors import DecodeError
from orchestrator.observability.log import get
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.heir import StandbyProcess
from orchestrator.runtime.orders import (
    Lines,
    Order,
    answer_line,
    order_line,
    parse_answer,
    parse_order,
)

SPEAKS = """
import json, os, sys
open(sys.argv[1], "a").write("started\\n")
print(json.dumps({"number": 0}), flush=True)
for line in sys.stdin:
    open(sys.argv[1], "a").write(line)
    order = json.loads(line)
    BODY
open(sys.argv[1], "a").write("ended\\n")
"""
GOOD = 'print(json.dumps({"number": order["number"]}), flush=True)'
SILENT = f"""if order["number"] < 2:
        {GOOD}"""
BABBLING = "print('hello', flush=True)"
DYING = "sys.exit(7)"
DEAF = "import signal; os.kill(os.getpid(), signal.SIGSTOP)"
STOPPED = f"import os; {DEAF}"
WORKER = f"""
import os, signal, sys
from orchestrator.observability.log import configure, get
from orchestrator.runtime.clock import SystemClock
from orchestrator.runtime.heir import StandbyProcess
configure("warning")
heir = StandbyProcess(
    [sys.executable, "-S", "-c", {STOPPED!r}],
    partitions=4,
    release_timeout_ms=1_000,
    clock=SystemClock(),
    log=get(),
)
heir.take({{0}})
while heir._process is None:
    heir.turn()
pid = heir._process.popen.pid
os.waitid(os.P_PID, pid, os.WSTOPPED)
print(pid, flush=True)
signal.pause()
"""


def wait_until(condition, what):
    """Poll a condition of a child process until it holds."""
    deadline_s = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.01)


class Clock(SystemClock):
    """The machine's clock, set forward at will."""

    ahead_s = 0.0

    def monotonic_s(self):
        return super().monotonic_s() + self.ahead_s


class Bench:
    def __init__(self, folder):
        self.heard, self.clock, self.heir = folder / "heard", Clock(), None

    def make(self, body, release_timeout_ms=30_000):
        self.heard.write_text("")
        words = [sys.executable, "-S", "-c", SPEAKS.replace("BODY", body), str(self.heard)]
        self.heir = StandbyProcess(
            words,
            partitions=4,
            release_timeout_ms=release_timeout_ms,
            clock=self.clock,
            log=get(),
        )
        return self.heir

    def turn(self):
        self.clock.ahead_s += 1.0
        self.heir.turn()
        return self.heard.read_text().splitlines()

    def turn_until(self, condition, what):
        wait_until(lambda: condition(self.turn()), what)

    def orders(self):
        return [line for line in self.heard.read_text().splitlines() if line.startswith("{")]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    if made.heir is not None:
        made.heir.close()


def test_orders_and_answers_survive_their_pipes():
    order = Order(3, frozenset({1, 12}))
    assert parse_order(order_line(order)) == order
    assert parse_answer(answer_line(7)) == 7
    for bad in (b"", b"{}", b"[]", b'{"number": "x", "taken": []}', b"\xff"):
        with pytest.raises(DecodeError):
            parse_order(bad)
        with pytest.raises(DecodeError):
            parse_answer(bad)


def test_lines_come_whole_and_the_end_is_known():
    read, write = os.pipe()
    lines = Lines(read)
    assert lines.take(0.0) == []
    os.write(write, b"one\ntw")
    assert lines.take(0.0) == [b"one"]
    os.write(write, b"o\n")
    assert lines.take(0.0) == [b"two"]
    os.close(write)
    assert lines.take(0.0) == []
    assert lines.ended
    os.close(read)


def test_none_is_started_before_there_is_something_to_inherit(bench):
    bench.make(GOOD)
    bench.turn()
    bench.heir.take({0, 1, 2, 3})
    for _ in range(3):
        assert bench.turn() == []
    bench.heir.take({0, 1})
    bench.turn_until(lambda heard: len(heard) == 2, "an order")
    assert parse_order(bench.orders()[0].encode()).taken == {0, 1}


def test_what_is_taken_is_said_and_answered_before_it_is_opened(bench):
    bench.make(GOOD)
    bench.heir.take({0})
    bench.turn_until(lambda heard: len(heard) == 2, "the first order")
    bench.heir.take({0, 2})
    assert parse_order(bench.orders()[-1].encode()).taken == {0, 2}


@pytest.mark.parametrize("body", [SILENT, BABBLING, DYING, DEAF])
def test_a_standby_that_does_not_answer_is_killed_and_replaced(bench, body):
    bench.make(body, release_timeout_ms=300)
    bench.heir.take({0})
    bench.turn_until(lambda heard: len(heard) >= 2, "the first order")

    bench.heir.take({0, 1})  # returns, whatever it does

    assert bench.heir._process is None
    bench.turn_until(lambda heard: heard.count("started") == 2, "another to be started")


def test_killed_at_any_time_it_is_started_again_later_and_later(bench):
    bench.make(GOOD)
    bench.heir.take({0})
    waits = []
    for life in range(1, 4):
        bench.turn_until(lambda heard, life=life: heard.count("started") == life, "a standby")
        os.kill(bench.heir._process.popen.pid, signal.SIGKILL)
        wait_until(lambda: bench.turn() and bench.heir._process is None, "the loss to be seen")
        waits.append(bench.heir._backoff_s)
    assert waits == sorted(set(waits))


def test_it_ends_with_its_worker(bench):
    bench.make(GOOD)
    bench.heir.take({0})
    bench.turn_until(lambda heard: len(heard) == 2, "the first order")
    bench.heir.close()
    assert bench.heard.read_text().splitlines()[-1] == "ended"


def test_stopped_before_it_could_ask_for_anything_it_ends_with_its_worker():
    """As one that is frozen while it still imports."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,  # the standby has it, too: it ends with the last of them
        start_new_session=True,
    )
    pid = int(worker.stdout.readline())

    worker.kill()

    try:
        worker.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.kill(pid, signal.SIGKILL)
        raise


def test_a_program_that_is_not_there_is_no_reason_to_die(tmp_path):
    heir = StandbyProcess(
        [str(tmp_path / "nothing")],
        partitions=4,
        release_timeout_ms=100,
        clock=Clock(),
        log=get(),
    )
    heir.take({0})
    heir._clock.ahead_s += 1.0
    heir.turn()
    heir.take({1})
    heir.close()
