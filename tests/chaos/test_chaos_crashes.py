"""M01: one worker after the other dies, each at the next point, and nobody's money is astray."""

from __future__ import annotations

import signal

DEATHS = {-signal.SIGKILL, -signal.SIGALRM}
WAVE_COUNT = 6


def feed_until_dead(town, worker):
    """Give a worker something to do until it dies of it."""
    while worker.code is None:
        if town.open_count < WAVE_COUNT * 3:
            town.begin(WAVE_COUNT)
        town.look()
    return worker.code


def test_smoke(town):
    worker = town.worker()
    town.begin(60)
    town.wait_ended()
    history = town.check()
    assert len(history.ledgers) > 100
    assert worker.lines("worker_stopped")
