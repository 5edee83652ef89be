"""Where the time goes: every nanosecond of the loop belongs to one stage."""

from __future__ import annotations

from itertools import count

from orchestrator.runtime.stages import INSIDE, SAMPLED_EVERY, Laps, Stages

TICK_NS = 1_000_000


def ticking():
    ticks = count()
    return lambda: next(ticks) * TICK_NS


def test_each_lap_is_counted_once():
    laps = Laps(ticking())
    laps.lap("drain")
    laps.begin()
    laps.lap("decode")
    laps.lap("drain")
    assert laps.spent_ns == {"drain": 2 * TICK_NS, "decode": TICK_NS}


def test_one_transaction_of_many_is_sampled():
    stages = Stages(ticking())
    sampled = [stages.sample() is not None for _ in range(2 * SAMPLED_EVERY)]
    assert sampled.count(True) == 2


def test_what_was_sampled_splits_all_the_work():
    stages = Stages(ticking())
    laps = [stages.sample() for _ in range(SAMPLED_EVERY)][-1]
    laps.begin()
    for stage in ("decode", "decide", "decide", "encode"):
        laps.lap(stage)
    stages.loop.begin()
    for _ in range(8):
        stages.loop.lap("work")
    stages.loop.lap("store")
    assert stages.values_ms() == {"decode": 2, "decide": 4, "encode": 2, "store": 1}


def test_before_the_first_sample_work_is_split_evenly():
    stages = Stages(ticking())
    stages.loop.begin()
    for _ in range(3):
        stages.loop.lap("work")
    assert stages.values_ms() == dict.fromkeys(sorted(INSIDE), 1)
