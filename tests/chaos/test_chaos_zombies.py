"""M05, M08: workers that come back from the dead, and two that believe to be the same."""

from __future__ import annotations

import signal

import pytest
from town import wait_until


@pytest.mark.parametrize("point", ["C03", "C07", "C09"])
def test_a_worker_that_was_frozen_past_its_session_does_no_harm(town, point):
    first, zombie = town.worker(0), zombie_of(town, point)
    wait_until(lambda: zombie.shards() == {1}, "a shard each")
    wait_until(lambda: feed(town) and zombie_stands(zombie), "standstill")
    wait_until(lambda: first.shards() == {0, 1}, "the heir")
    town.begin(24)
    town.wait_ended()

    wake(zombie, "transaction_failed" if point != "C09" else "rebalance")
    town.begin(24)
    town.wait_ended()

    wait_until(lambda: zombie.shards() == {1}, "the zombie to join again")
    assert first.lines("fenced_dead_predecessor")
    town.check()


def zombie_of(town, point, **how):
    """A worker that stops at a point, and can wake up however long it has slept.

    By default what it had to send is too old after 8 s, and its watchdog ends it after a minute: on a
    busy machine that would come before what it has to be told.
    """
    slow = {"transaction_timeout_ms": 60_000}
    settings = {"stall_exit_ms": 0}
    return town.worker(1, crash=f"{point}:4:stop", transactions=slow, settings=settings, **how)


def wake(zombie, event):
    """Wake it up, and wait until it logs an event, which it may have logged before; give that line."""
    before = len(zombie.lines(event))
    zombie.signal(signal.SIGCONT)
    return zombie.wait_logged(event, before + 1)[before]


def feed(town):
    if town.open_count < 24:
        town.begin(6)
    town.look()
    return True


def zombie_stands(worker):
    with open(f"/proc/{worker.popen.pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - one line
        return stat.read().rpartition(")")[2].split()[0] == "T"


def test_of_two_workers_with_one_identity_one_gives_way(town):
    first = town.worker()
    town.begin(24)
    first.wait_logged("shard_running")
    twin = town.worker(data_dir=town.folder / "elsewhere")
    first.died()
    assert first.code == 1
    assert "Fenced" in first.log.read_text()

    town.begin(24)
    town.wait_ended()

    assert twin.code is None
    assert twin.shards() == {0, 1}
    town.check(stores=False)
