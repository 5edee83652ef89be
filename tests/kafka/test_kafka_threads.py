"""The client library's threads do not interrupt the loop."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from kafka_kit import assigned

from orchestrator.codec.envelope import Record
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.threads import yielding

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a policy of Linux")


def policies():
    """The scheduling policy of each thread of this process, by its id."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(task.name): os.sched_getscheduler(int(task.name)) for task in tasks}


ALONE = """
import os
from confluent_kafka import Producer
from orchestrator.kafka.threads import yielding

with yielding():
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
tids = sorted(map(int, os.listdir("/proc/self/task")))
print(*[os.sched_getscheduler(tid) for tid in tids], flush=True)  # _exit flushes nothing
os._exit(0)
"""


def test_only_the_threads_that_are_made_inside_yield():
    # In a process of its own: other threads come and go in this one.
    command = [sys.executable, "-c", ALONE]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    ours, *theirs = map(int, answer.stdout.split())
    assert ours == os.SCHED_OTHER
    assert set(theirs) == {os.SCHED_BATCH}


def test_an_error_inside_leaves_its_thread_as_it_was():
    with pytest.raises(ZeroDivisionError), yielding():
        raise ZeroDivisionError
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_a_policy_that_somebody_has_chosen_stays():
    seen = []

    def idle():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        with yielding():
            seen.append(os.sched_getscheduler(0))
        seen.append(os.sched_getscheduler(0))

    thread = threading.Thread(target=idle)
    thread.start()
    thread.join()
    assert seen == [os.SCHED_IDLE] * 2


def test_where_a_sandbox_forbids_it_all_is_as_it_was(monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with yielding():
        assert os.sched_getscheduler(0) == os.SCHED_OTHER


@pytest.mark.system
def test_the_clients_of_workers_and_participants_yield(cluster):
    topic, before = cluster.topic(), policies()
    source, sink = cluster.source(topic), cluster.sink(0)
    assigned(source)
    cluster.commit(sink, topic, b"one")
    PlainProducer(cluster.settings, "test").send([Record(topic, 0, b"k", b"two")])

    new = [Path(f"/proc/self/task/{tid}/comm") for tid in policies().keys() - before.keys()]
    theirs = [int(comm.parent.name) for comm in new if comm.read_text().startswith("rdk:")]
    # Others' clients, which need not yield, may begin a connection just then.
    yielding_count = sum(os.sched_getscheduler(tid) == os.SCHED_BATCH for tid in theirs)
    assert yielding_count > 3 * 2  # three of each of a worker's two clients, and some more
