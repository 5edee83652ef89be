"""Children: heard, restarted when they die, given up when they keep dying, stopped together."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from orchestrator.cli import children as module
from orchestrator.cli.children import SUPERVISOR, Children
from orchestrator.cli.worker import without_option

WAIT_S = 30.0
# What a child is here: a program that says who it is and then waits, or ends as it is told.
SCRIPT = """
import os, sys
print("parent", os.environ["%s"], flush=True)
if sys.argv[1] == "wait":
    sys.stdin.close()
    import signal
    signal.sigwait({signal.SIGTERM})
    print("bye", flush=True)
    sys.exit(0)
sys.stdout.write("last words")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def family(monkeypatch):
    script = SCRIPT % SUPERVISOR
    preamble = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})\n"
    monkeypatch.setattr(
        module,
        "saga_command",
        lambda *arguments: [sys.executable, "-c", preamble + script, *arguments],
    )
    heard, exits = [], []
    with Children(
        lambda name, line: heard.append((name, line)),
        lambda child, code, again: exits.append((child.name, code, again)),
    ) as children:
        yield children, heard, exits


def turn_until(children, condition):
    for _ in range(1_000):
        if condition():
            return
        children.turn(WAIT_S / 1_000)
    raise AssertionError("not in time")


def test_a_child_is_heard_and_knows_its_supervisor(family):
    children, heard, _ = family
    children.start("ann", ["wait"])
    turn_until(children, lambda: heard)

    assert heard == [("ann", f"parent {os.getpid()}")]


def test_a_killed_child_is_started_anew(family):
    children, heard, exits = family
    children.start("ann", ["wait"])
    turn_until(children, lambda: heard)
    (child,) = children.running
    child.process.kill()
    turn_until(children, lambda: len(heard) == 2)

    assert exits == [("ann", -signal.SIGKILL, True)]
    (again,) = children.running
    assert again.process.pid != child.process.pid
    assert again.restarts_count == 1


def test_one_that_keeps_dying_is_given_up(family):
    children, _, exits = family
    children.start("ann", ["3"])
    turn_until(children, lambda: not children.running)

    assert exits == [("ann", 3, True), ("ann", 3, True), ("ann", 3, False)]


def test_one_that_ends_well_is_not_started_anew(family):
    children, heard, exits = family
    children.start("ann", ["0"])
    turn_until(children, lambda: not children.running)

    assert exits == [("ann", 0, False)]
    assert heard[-1] == ("ann", "last words")


def test_all_are_stopped_together_and_may_say_a_last_word(family):
    children, heard, _ = family
    for name in ("ann", "bob"):
        children.start(name, ["wait"])
    turn_until(children, lambda: len(heard) == 2)
    processes = [child.process for child in children.running]
    children.stop()

    assert {("ann", "bye"), ("bob", "bye")} <= set(heard)
    assert [process.returncode for process in processes] == [0, 0]


def test_options_are_left_out_of_a_command_line():
    words = ["worker", "--processes", "2", "--json", "--instance=1", "--prefix", "p"]

    assert without_option(words, "--processes", "--instance") == [
        "worker",
        "--json",
        "--prefix",
        "p",
    ]
