"""Where the time goes: every nanosecond of the loop belongs to one stage."""

from __future__ import annotations

from itertools import count

from orchestrator.runtime.stages import Stages

TICK_NS = 1_000_000


def test_each_lap_is_counted_once():
    ticks = count()
    stages = Stages(lambda: next(ticks) * TICK_NS)
    for stage in ("drain", "decode", "drain", "decide"):
        stages.lap(stage)
    assert stages.values_ms() == {"decide": 1, "decode": 1, "drain": 2}
