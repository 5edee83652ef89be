"""Two transactions under way: one that waits for Kafka, one that takes what is decided meanwhile.

A commit is mostly waiting, three round trips in a row. Its waiting half runs in a thread of its own,
while the loop goes on deciding on top of what is on its way. Nothing of the second transaction is
sent before the first is committed and in the store; if the first fails, both are forgotten.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from orchestrator.kafka.base import GroupMetadata, TopicPartition
from orchestrator.runtime.batch import Outbox
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.stages import Stages
from orchestrator.runtime.transaction import Pending, Transactor

_SWITCH_S = 0.000_5
"""How soon the waiting thread gets the interpreter when Kafka has answered. Python's own 5 ms would be
as long as the commit itself."""


class _UnderWay(NamedTuple):
    pending: Pending
    future: Future[Mapping[TopicPartition, int]]


class Pipeline:
    """The transactions of one worker. One thread uses it."""

    def __init__(self, transactor: Transactor, clock: Clock, stages: Stages) -> None:
        """Nothing is under way, nothing is open. `stages` is told what each part takes."""
        self._transactor = transactor
        self._clock = clock
        self._stages = stages
        self._thread = ThreadPoolExecutor(1, "commit")
        self._under_way: _UnderWay | None = None
        self._outbox = self._new()
        sys.setswitchinterval(_SWITCH_S)

    @property
    def outbox(self) -> Outbox:
        """The open transaction, at the present time."""
        self._outbox.now_ms = max(self._outbox.now_ms, self._clock.now_ms())
        return self._outbox

    @property
    def under_way(self) -> Outbox | None:
        """The transaction whose commit is under way."""
        return None if self._under_way is None else self._under_way.pending.outbox

    @property
    def is_waiting(self) -> bool:
        """Whether a commit is under way."""
        return self._under_way is not None

    @property
    def is_committed(self) -> bool:
        """Whether `wait` would return, or raise, at once."""
        return self._under_way is not None and self._under_way.future.done()

    def open_count(self) -> int:
        """Inputs and timers in the open transaction."""
        return len(self._outbox.work)

    def launch(self, group: GroupMetadata) -> None:
        """Send the open transaction on its way. None other may be. Raises TransactionError."""
        outbox, self._outbox = self._outbox, self._new()
        self._stages.lap("rest")
        pending = self._transactor.open(outbox, group)
        self._under_way = _UnderWay(pending, self._thread.submit(self._complete, pending))
        self._stages.lap("produce")

    def wait(self) -> None:
        """Wait for the commit under way, if there is one.

        Raises TransactionError if it failed: then both transactions must be forgotten.
        """
        if self._under_way is not None:
            self._stages.lap("rest")
            self._under_way.future.result()
            self._stages.lap("wait")

    def settle(self) -> None:
        """Put what `wait` found committed into the stores. Raises CorruptStore and DiskFailed."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            self._transactor.settle(under_way.pending, under_way.future.result())
            self._stages.lap("store")

    def forget_open(self) -> None:
        """Undo what is open; what is on its way goes on."""
        for shard in self._outbox.shards.values():
            shard.forget_open()
        self._outbox = self._new()

    def forget(self) -> None:
        """Undo what is open, and wait until nothing is on its way, whatever becomes of it.

        What the shards had sealed is the caller's to forget.
        """
        if self._under_way is not None:
            futures.wait([self._under_way.future])
        self.forget_open()
        self._under_way = None

    def close(self) -> None:
        """End the thread."""
        self.forget()
        self._thread.shutdown()

    def _new(self) -> Outbox:
        return Outbox(self._clock.now_ms(), self._stages)

    def _complete(self, pending: Pending) -> Mapping[TopicPartition, int]:
        began_ns = self._clock.monotonic_ns()
        try:
            return self._transactor.complete(pending)
        finally:
            # Only this thread adds to this stage.
            self._stages.spent_ns["commit"] += self._clock.monotonic_ns() - began_ns
