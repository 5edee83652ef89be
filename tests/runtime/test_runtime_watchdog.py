"""A worker whose loop stands still ends itself."""

import subprocess
import sys

CHILD = """
import threading
from orchestrator.runtime.watchdog import Watchdog

clock = iter([1.0, 1.5, 3.0])
watchdog = Watchdog({patience_ms}, lambda: next(clock))
for _ in range(3):
    watchdog.pat()
if {stops}:
    watchdog.stop()
print("standing", flush=True)
threading.Event().wait(0.5 if {stops} else None)
"""


def child(patience_ms, *, stops):
    code = CHILD.format(patience_ms=patience_ms, stops=stops)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_loop_that_stands_still_is_ended_with_its_stack():
    done = child(300, stops=False)

    assert done.returncode == 1
    assert "standing" in done.stdout
    assert "threading.py" in done.stderr


def test_a_loop_that_ended_well_is_left_alone():
    assert child(200, stops=True).returncode == 0


def test_it_can_be_turned_off():
    assert child(0, stops=True).returncode == 0
