"""Warming up: a worker with little in its stores reads first, and joins the group after that.

From the moment when it joins, the shards that it is given stand still until they are restored. Their
owners go on while it reads outside the group.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from orchestrator.observability.log import Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.copies import Copies
from orchestrator.runtime.placement import awaited
from orchestrator.runtime.settings import StandbySettings

_POLL_S = 0.05
_LOOK_S = 1.0
"""How often a busy worker asks how far the changelogs have grown meanwhile."""


def awaited_shards(me: str, partitions: int, instances: Collection[str]) -> frozenset[int]:
    """The shards to warm up before joining these; none if nobody serves them, or they are ours."""
    if not instances or me in instances:
        return frozenset()
    return awaited(me, partitions, instances)


def warm_up(
    shards: Collection[int],
    *,
    copies: Copies,
    settings: StandbySettings,
    clock: Clock,
    stop: Callable[[], bool],
    log: Log,
) -> None:
    """Follow these shards until they are nearly at their ends, or the time is up.

    Raises Unreachable.
    """
    began_s = looked_s = clock.monotonic_s()
    until_s = began_s + settings.warm_up_ms / 1_000
    log.info("warming_up", shards=sorted(shards))
    copies.follow(shards)
    while not stop() and not copies.paused and (now_s := clock.monotonic_s()) < until_s:
        came = copies.pump(_POLL_S)
        if came and now_s - looked_s < _LOOK_S:
            continue
        looked_s = now_s
        lags = copies.lags()
        if max(lags.values(), default=0) <= settings.warm_up_lag_count:
            break
        log.info("warming_up", lags=dict(lags))
    lags = copies.lags()
    log.info("warmed_up", lags=dict(lags), seconds=round(clock.monotonic_s() - began_s, 3))
