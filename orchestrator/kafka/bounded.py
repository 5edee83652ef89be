"""Calls of the client library that may never come back, with a bound that holds all the same.

`send_offsets_to_transaction` waits for ever, whatever its time limit, if the group's coordinator has
left the cluster's metadata meanwhile (librdkafka #5456, #5511). Nothing can interrupt it. So it runs
in a thread that can be left behind, with its producer: a new producer takes the transactional id,
and what the old one may still send is refused by its epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread

from confluent_kafka import KafkaException

from orchestrator.errors import Doubtful, StateError

ABANDONED_COUNT_MAX = 3
"""Threads that may hang at a time. Each keeps a producer with its connections: at most a few MB."""


class Bounded:
    """Runs one call at a time in a thread of its own: a hand-over costs about 15 us."""

    def __init__(self, name: str) -> None:
        """`name` says what is called: in errors, and in the thread's stack."""
        self._name = name
        self._helper: _Helper | None = None
        self._abandoned: list[_Helper] = []

    def run(self, call: Callable[[], object], patience_s: float) -> None:
        """Call, and raise what it raises.

        Raises Doubtful if it is not back in time: whatever it uses belongs to the lost thread then.
        StateError if too many hang already: only a new process helps.
        """
        if self._helper is None:
            self._helper = _Helper(self._name)
        try:
            raised = self._helper.run(call, patience_s)
        except Empty:
            self._abandon(self._helper)
            raise Doubtful(f"{self._name}: hangs since {patience_s:.1f} s") from None
        if raised is not None:
            raise raised

    def close(self) -> None:
        """End the thread, if it is not lost."""
        if self._helper is not None:
            self._helper.end()
        self._helper = None

    def _abandon(self, helper: _Helper) -> None:
        helper.end()  # should the call come back after all
        self._helper = None
        self._abandoned = [each for each in self._abandoned if each.is_alive()] + [helper]
        if len(self._abandoned) > ABANDONED_COUNT_MAX:
            raise StateError(
                f"{self._name}: {len(self._abandoned)} calls hang; only a new process helps"
            )


class _Helper:
    """One thread and its two queues. A daemon: the interpreter does not wait for it."""

    def __init__(self, name: str) -> None:
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._answers: SimpleQueue[KafkaException | None] = SimpleQueue()
        self._thread = Thread(
            target=_work, args=(self._calls, self._answers), name=name, daemon=True
        )
        self._thread.start()

    def run(self, call: Callable[[], object], patience_s: float) -> KafkaException | None:
        """Give what the call raised. Raises Empty if it is not back in time."""
        self._calls.put(call)
        return self._answers.get(timeout=patience_s)

    def end(self) -> None:
        """Let the thread end once it has nothing to do."""
        self._calls.put(None)

    def is_alive(self) -> bool:
        """Whether it still hangs."""
        return self._thread.is_alive()


def _work(
    calls: SimpleQueue[Callable[[], object] | None], answers: SimpleQueue[KafkaException | None]
) -> None:
    while (call := calls.get()) is not None:
        try:
            call()
        except KafkaException as error:
            answers.put(error)
        else:
            answers.put(None)
        del call  # a producer that was left behind is let go as soon as its call is back
