"""The standby: a process beside a worker that keeps the shards warm which the worker would inherit.

It decides by itself whose heir its worker is, from the group's members; the worker only says which
shards are its own. So nothing that the standby waits for ever keeps the worker waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.errors import Unreachable
from orchestrator.kafka.base import GroupMember
from orchestrator.observability.log import Bounded, Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.copies import POLL_COUNT, Copies
from orchestrator.runtime.orders import Lines, parse_order
from orchestrator.runtime.placement import inherited
from orchestrator.runtime.settings import StandbySettings

_PACE_S = 0.25
"""Pause between batches, unless they are large; orders are obeyed at once. What is not written yet
when the worker takes a shard over, it reads itself."""
_SYNC_INTERVAL_S = 60.0


class Standby:
    """Follows what its worker would inherit, and keeps off what it owns. One thread."""

    def __init__(
        self,
        *,
        instance_id: str,
        partitions: int,
        settings: StandbySettings,
        members: Callable[[], Sequence[GroupMember]],
        copies: Copies,
        orders: Lines,
        answer: Callable[[int], None],
        clock: Clock,
        log: Log,
    ) -> None:
        self._me = instance_id
        self._partitions = partitions
        self._settings = settings
        self._members = members
        self._copies = copies
        self._orders = orders
        self._answer = answer
        self._clock = clock
        self._log = log
        self._notes = Bounded(log, monotonic_s=clock.monotonic_s)
        self._taken: frozenset[int] | None = None
        """The worker's shards; None until it has said so."""
        self._looked_s = self._reported_s = self._synced_s = -1e9

    def run(self, stop: Callable[[], bool]) -> None:
        """Work until the worker is gone, or `stop()` is true."""
        self._answer(0)
        busy = False
        try:
            while not stop() and not self._orders.ended:
                for line in self._orders.take(0.0 if busy else _PACE_S):
                    self._obey(line)
                if self._taken is not None:
                    self._keep_up(self._taken)
                busy = self._copies.pump(0.0) >= POLL_COUNT // 2
        finally:
            self._copies.close()

    def _obey(self, line: bytes) -> None:
        order = parse_order(line)
        self._taken = order.taken
        self._copies.release(self._copies.followed & order.taken)
        self._answer(order.number)
        self._looked_s = -1e9  # the group has changed

    def _keep_up(self, taken: frozenset[int]) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s >= self._settings.membership_interval_ms / 1_000:
            self._looked_s = now_s
            self._look(taken)
        if now_s - self._reported_s >= self._settings.standby_report_ms / 1_000:
            self._reported_s = now_s
            self._copies.report()
        if now_s - self._synced_s >= _SYNC_INTERVAL_S:
            self._synced_s = now_s
            self._tell()

    def _look(self, taken: frozenset[int]) -> None:
        """Ask who is in the group, and follow accordingly."""
        try:
            members = self._members()
        except Unreachable as error:
            self._notes.warning("cluster_unreachable", "unreachable", text=str(error))
            return
        instances = [member.instance_id for member in members if member.instance_id]
        assigned = {pair.partition for member in members for pair in member.partitions}
        if self._me in instances and len(assigned) >= self._partitions:
            # Otherwise the group is just being put together, and the next look will tell.
            count = self._settings.standbys
            wanted = inherited(self._me, self._partitions, instances, count) - taken
            if wanted != self._copies.followed:
                self._copies.follow(wanted)

    def _tell(self) -> None:
        try:
            lags = self._copies.lags()
        except Unreachable as error:
            self._notes.warning("cluster_unreachable", "unreachable", text=str(error))
            return
        self._log.info("standby", lags=dict(lags))
