"""M53, M55: timers of workers whose clocks differ, and very many at once."""

from __future__ import annotations

import os
import signal
from collections import Counter

import pytest
from town import wait_until

from orchestrator.audit.reading import Log
from orchestrator.core.events import AttemptFailed, StepRequested
from orchestrator.testing.history import read_topics

SKEW_MS = 30_000
PATIENT_S = 120.0
"""A shard whose new owner is behind fires no timer until the calendar has caught up."""


BURST_COUNT = int(os.environ.get("SAGA_TEST_TIMERS", "20000"))
HOUR_MS = 3_600_000


@pytest.mark.timeout(1_200)
def test_very_many_timers_at_once_fire_once_each_and_starve_nobody(hamlet):
    worker = hamlet.worker(jumps=[HOUR_MS])
    hamlet.begin(6)
    hamlet.wait_ended()
    hamlet.post.kill()
    waiting = [f"w-{number:06}-any" for number in range(BURST_COUNT)]
    asked = hamlet.space.Transfer("account-1", "saving-1", 1)
    hamlet.client.start_many((saga, hamlet.sagas["wait"].given(asked)) for saga in waiting)
    hamlet.acknowledged.update(waiting)
    hamlet.wait_consumed(600)

    worker.signal(signal.SIGUSR1)  # all are due at this moment
    wait_until(lambda: worker.lines("counters")[-1].get("timers_count"), "the first timers")
    newcomers = set(hamlet.begin(60, ["m-ok"]))
    hamlet.wait_ended(600)

    history = hamlet.check()
    fired = Counter(t.saga for _, t in history.transitions if t.cause.kind == "timer")
    assert [saga for saga in waiting if fired[saga] != 1] == []
    burst, last, ends = set(waiting), {}, {}
    for origin, transition in history.transitions:
        place = (origin.partition, origin.offset)
        if transition.saga in burst and transition.cause.kind == "timer":
            last[origin.partition] = place
        elif transition.saga in newcomers:
            ends[transition.saga] = place  # of its last transition
    assert len(ends) == len(newcomers)
    # Each newcomer had come to its end before the last timer fired.
    assert [saga for saga, place in ends.items() if place > last[place[0]]] == []


def ahead(town, ordinal):
    """A worker whose clock is half a minute ahead."""
    worker = town.worker(ordinal, jumps=[SKEW_MS])
    worker.wait_logged("worker_ready")
    worker.signal(signal.SIGUSR1)
    return worker


def settled(*workers):
    """Wait until these workers run both shards between them, and each has some."""

    def met():
        owned = [worker.shards() for worker in workers]
        return all(owned) and sorted(shard for some in owned for shard in some) == [0, 1]

    wait_until(met, "both shards to run")


def test_a_shard_that_moves_between_clocks_loses_no_timer_and_fires_none_too_early(town):
    fast, true = ahead(town, 0), town.worker(1)
    settled(fast, true)
    town.begin(12)
    town.wait_ended(PATIENT_S)

    def under_way_while(move):
        town.bank.freeze()
        town.begin(18)
        town.wait_consumed()
        move()
        town.bank.signal(signal.SIGCONT)
        town.wait_ended(PATIENT_S)

    moved = fast.shards()
    assert moved
    under_way_while(lambda: (fast.kill(), settled(true)))
    again = []
    under_way_while(lambda: (again.append(ahead(town, 0)), settled(again[0], true)))
    assert again[0].shards() == moved
    town.check()

    fired = timers_fired(town)
    assert all(shard_ms >= due_ms for due_ms, shard_ms, _ in fired)
    # What brokers note is the true time: no clock of ours was ahead by more.
    assert all(true_ms >= due_ms - SKEW_MS for due_ms, _, true_ms in fired)
    early = [due_ms - true_ms for due_ms, _, true_ms in fired]
    assert max(early) > 0  # the clock that was ahead has fired some
    assert min(early) < 0  # and the other one, some


def timers_fired(town):
    """Every unanswered attempt: when it was due, the shard's time then, the true time then."""
    log = Log(town.admin, town.reader, town.codec, town.topics)
    due, fired, clocks = {}, [], {}
    for envelope in read_topics(log, [town.topics.events]):
        transition = town.codec.decode_transition(envelope.value)
        shard = envelope.origin.partition
        assert transition.at_ms >= clocks.get(shard, 0), "a shard's clock ran back"
        clocks[shard] = transition.at_ms
        for event in transition.events:
            if isinstance(event, StepRequested):
                due[transition.saga, event.step, event.attempt] = event.due_ms
            elif isinstance(event, AttemptFailed) and event.reason == "timeout":
                asked = due.get((transition.saga, event.step, event.attempt))
                if asked is not None:
                    fired.append((asked, transition.at_ms, envelope.timestamp_ms))
    return fired
