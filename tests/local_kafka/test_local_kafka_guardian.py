"""A guarded process never outlives whoever started it. `sleep` stands in for a broker here."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from processes import is_alive, until

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka.process import GuardedProcess

OWNER = """
import os, sys, time
from pathlib import Path
from orchestrator.local_kafka.process import GuardedProcess
directory = Path(sys.argv[1])
thrown_away = directory / "data" if sys.argv[2] == "thrown-away" else None
process = GuardedProcess(["sleep", "600"], directory / "log", thrown_away=thrown_away)
if sys.argv[3] == "fork" and os.fork() == 0:
    time.sleep(600)
print(process.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def owner(tmp_path):
    """Start a process that owns a guarded `sleep`; returns it and the id of the sleep."""
    started = []

    def start(thrown_away="kept", fork="alone"):
        (tmp_path / "data").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(tmp_path), thrown_away, fork],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process, int(process.stdout.readline())

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_it_ends_when_its_owner_is_killed(owner, tmp_path):
    process, pid = owner()

    process.kill()

    until(lambda: not is_alive(pid))
    assert (tmp_path / "data").exists()


def test_what_is_thrown_away_goes_with_it(owner, tmp_path):
    process, pid = owner(thrown_away="thrown-away")

    process.kill()

    until(lambda: not is_alive(pid) and not (tmp_path / "data").exists())


def test_a_forked_sibling_that_holds_the_pipe_does_not_keep_it_alive(owner):
    process, pid = owner(fork="fork")

    process.kill()

    until(lambda: not is_alive(pid))


def test_it_ends_when_its_owner_ends_without_a_word(owner):
    process, pid = owner()

    process.terminate()

    until(lambda: not is_alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="needs a parent-death signal")
def test_it_ends_when_its_guardian_is_killed(tmp_path):
    process = GuardedProcess(["sleep", "600"], tmp_path / "log")

    process._guardian.kill()
    process._guardian.wait()

    until(lambda: not is_alive(process.pid))
    process.kill()


def test_ctrl_c_is_the_owners_business(owner):
    process, pid = owner()

    assert os.getsid(pid) != os.getsid(process.pid)


def test_terminate_and_exit_code(tmp_path):
    process = GuardedProcess(["sleep", "600"], tmp_path / "log")
    assert process.exit_code is None

    process.terminate()
    process.wait(20)

    assert process.exit_code != 0
    process.terminate()
    process.kill()


def test_output_goes_to_the_log(tmp_path):
    process = GuardedProcess(["sh", "-c", "echo out; echo err >&2; exit 3"], tmp_path / "log")

    assert process.wait(20) == 3
    assert (tmp_path / "log").read_text() == "out\nerr\n"


def test_waiting_has_an_end(tmp_path):
    process = GuardedProcess(["sleep", "600"], tmp_path / "log")

    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)

    process.kill()
    assert not is_alive(process.pid)


def test_what_cannot_be_started_is_an_error(tmp_path):
    with pytest.raises(LocalKafkaError, match="cannot be started"):
        GuardedProcess([str(tmp_path / "nothing")], tmp_path / "log")

    assert "No such file" in (tmp_path / "log").read_text()
