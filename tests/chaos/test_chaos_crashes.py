"""M01: one worker after the other dies, each at the next point, and nobody's money is astray.

A run through all points shares one installation: each worker is the heir of the last one's death.
`run.py` has the longer ones.
"""

from __future__ import annotations

import shutil
import signal

import pytest
from town import Town, wait_until

DEATHS = {-signal.SIGKILL, -signal.SIGALRM}
WAVE_COUNT = 6
IN_THE_LOOP = ["C01", "C02", "C03", "C04", "C05", "C06", "C07", "C08", "C09", "C10", "C11"]


def feed_until_dead(town, worker, patience_s=30.0):
    """Give a worker something to do until it dies of it."""

    def dead():
        if town.open_count < 3 * WAVE_COUNT:
            town.begin(WAVE_COUNT)
        town.look()
        return worker.code is not None

    wait_until(dead, f"the death of {worker.name}", patience_s)
    assert worker.code in DEATHS, worker.log.read_text()[-2_000:]


def die_restoring(town, point):
    """Without its store a worker restores, and dies of it."""
    shutil.rmtree(town.state, ignore_errors=True)
    feed_until_dead(town, town.worker(crash=point))


def die_firing(town, point):
    """While the bank stands still time limits end, and a worker dies of that."""
    town.bank.freeze()
    feed_until_dead(town, town.worker(crash=point))
    town.bank.signal(signal.SIGCONT)


@pytest.mark.parametrize("nth", [1, 7])
def test_every_point_is_a_safe_one_to_die_at(town, nth):
    for point in IN_THE_LOOP:
        feed_until_dead(town, town.worker(crash=f"{point}:{nth}"))
    die_firing(town, f"C15:{nth}")
    for point in ("C12", "C13", "C14"):
        die_restoring(town, point)
    # A commit that takes 1 ms is doubted here, so that producers are replaced.
    feed_until_dead(town, town.worker(crash=f"C16:{nth}", transactions={"commit_doubt_ms": 1}))

    heir = town.worker()
    town.wait_ended()

    history = town.check()
    assert heir.lines("worker_stopped")
    assert len(history.acknowledged) >= 3 * WAVE_COUNT


@pytest.fixture
def trio(broker, topic_prefix, tmp_path):
    with Town(broker, topic_prefix, tmp_path, partitions=3) as made:
        yield made


def wait_shards(*workers):
    """Wait until these workers run all shards between them, and each has one at least."""

    def all_run():
        found = [worker.shards() for worker in workers]
        return all(found) and set().union(*found) == {0, 1, 2}

    wait_until(all_run, "all shards")


@pytest.mark.parametrize("nth", [1, 7])
def test_one_of_three_dies_at_every_point_and_the_others_take_its_shards(trio, nth):
    town = trio
    town.open_shop()
    others = town.worker(0), town.worker(1)
    wait_shards(*others)
    for point in [*IN_THE_LOOP, "C15", "C16"]:
        # A commit that takes 1 ms is doubted here, so that producers are replaced.
        hasty = {"transactions": {"commit_doubt_ms": 1}} if point == "C16" else {}
        third = town.worker(2, crash=f"{point}:{nth}", **hasty)
        if point == "C15":  # time limits end while the bank stands still
            town.bank.freeze()
        feed_until_dead(town, third)
        town.bank.signal(signal.SIGCONT)
        wait_shards(*others)
    for point in ("C13", "C14"):
        shutil.rmtree(town.store_path(2, 0).parent, ignore_errors=True)
        feed_until_dead(town, town.worker(2, crash=point))
        wait_shards(*others)
    feed_until_dead(town, town.worker(2, crash="C12"))
    wait_shards(*others)
    town.begin(30)
    town.wait_ended()

    town.check()

    assert [worker.code for worker in others] == [0, 0]
    # At C01 to C08 for the first time the dead one has not left its name in a shard.
    fenced_count = sum(len(worker.lines("fenced_dead_predecessor")) for worker in others)
    assert fenced_count >= (3 if nth == 1 else len(IN_THE_LOOP))
