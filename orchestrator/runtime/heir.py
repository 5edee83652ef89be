"""The worker's side of its standby: starts the process, keeps it alive, keeps it off its shards.

Of a shard's store exactly one process has the files open. The worker names the shards it is about to
open and waits for the answer; a standby that does not answer in time is killed, and the kernel frees
what it held. Whatever becomes of the standby, the worker goes on.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Protocol

from orchestrator.errors import DecodeError
from orchestrator.observability.log import Log
from orchestrator.runtime.clock import Clock
from orchestrator.runtime.orders import Lines, Order, order_line, parse_answer

_LOOK_S = 0.2
"""How often the worker looks after its standby."""
_BACKOFF_S = 1.0
_BACKOFF_S_MAX = 60.0
_LONG_LIFE_S = 60.0
"""A standby that lived so long is started again without much waiting."""
_STOP_S = 5.0
_NOT_FOR_CHILDREN = "ORCHESTRATOR_CRASH"


class Heir(Protocol):
    """What a worker does about its standby."""

    def take(self, shards: Collection[int]) -> None:
        """Say which shards are the worker's; when this returns, nobody else has their stores open."""

    def turn(self) -> None:
        """Look after the standby, now and then. Returns at once."""

    def close(self) -> None:
        """End the standby. Returns when its stores are closed."""


class NoHeir:
    """A worker without a standby."""

    def take(self, shards: Collection[int]) -> None:
        """Nobody else could have them open."""

    def turn(self) -> None:
        """Nothing to look after."""

    def close(self) -> None:
        """Nothing to end."""


class _Process:
    """One life of the standby."""

    def __init__(self, command: Sequence[str], now_s: float) -> None:
        self.started_s = now_s
        self.popen = subprocess.Popen(  # noqa: S603 - our own program, with our own settings
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What ends or kills a worker at a named point is not meant for its standby.
            env={key: value for key, value in os.environ.items() if key != _NOT_FOR_CHILDREN},
            # A group of its own: Ctrl-C in a terminal is for the worker, which then ends its standby.
            # But of the worker's session: if the worker dies, the kernel sends SIGHUP and SIGCONT to
            # a standby that is stopped, even to one that could not yet ask to die with its worker.
            process_group=0,
        )
        if self.popen.stdin is None or self.popen.stdout is None:
            raise ValueError("a standby without pipes")
        self._down, self._output = self.popen.stdin, self.popen.stdout
        self._up = Lines(self._output.fileno())
        self.answered: int | None = None
        """The last order that it has obeyed; 0: it listens; None: it has only just been started."""

    @property
    def gone(self) -> bool:
        return self._up.ended

    def hear(self, timeout_s: float) -> None:
        """Take its answers, waiting up to `timeout_s` for one. Raises DecodeError."""
        for line in self._up.take(timeout_s):
            self.answered = parse_answer(line)

    def tell(self, order: Order) -> None:
        with suppress(BrokenPipeError):  # it has just died: its silence will show it
            self._down.write(order_line(order))
            self._down.flush()

    def end(self, grace_s: float) -> int:
        """Close its stdin, wait, kill; give its exit code."""
        with suppress(BrokenPipeError):
            self._down.close()
        try:
            self.popen.wait(grace_s)
        except subprocess.TimeoutExpired:
            self.popen.kill()
        code = self.popen.wait()
        self._output.close()
        return code


class StandbyProcess:
    """A `Heir`: supervises one `saga standby`."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        partitions: int,
        release_timeout_ms: int,
        clock: Clock,
        log: Log,
    ) -> None:
        self._command = tuple(command)
        self._partitions = partitions
        self._release_s = release_timeout_ms / 1_000
        self._clock = clock
        self._log = log
        self._order: Order | None = None
        """The last order; None until the worker was given shards."""
        self._process: _Process | None = None
        self._looked_s = clock.monotonic_s()
        self._next_start_s = 0.0
        self._backoff_s = _BACKOFF_S

    def take(self, shards: Collection[int]) -> None:
        """Say which shards are ours, and wait until the standby has let go of them."""
        number = 1 if self._order is None else self._order.number + 1
        self._order = Order(number, frozenset(shards))
        process = self._process
        if process is None or process.answered is None:
            return  # it has nothing open before its first order
        process.tell(self._order)
        until_s = self._clock.monotonic_s() + self._release_s
        while process.answered != number and not process.gone:
            left_s = until_s - self._clock.monotonic_s()
            if left_s <= 0 or not self._heard(process, left_s):
                self._bury("does not let go of its shards", grace_s=0)
                return
        if process.gone:
            self._bury("died", grace_s=_STOP_S)

    def turn(self) -> None:
        """Start the standby if there is something to inherit, and again if it has died."""
        now_s = self._clock.monotonic_s()
        if now_s - self._looked_s < _LOOK_S or self._order is None:
            return
        self._looked_s = now_s
        process = self._process
        if process is None:
            if len(self._order.taken) < self._partitions and now_s >= self._next_start_s:
                self._start(now_s)
            return
        listened = process.answered is not None
        if not self._heard(process, 0.0):
            self._bury("speaks another language", grace_s=0)
        elif process.gone:
            self._bury("died", grace_s=_STOP_S)
        elif process.answered == 0 and not listened:
            process.tell(self._order)

    def close(self) -> None:
        """End the standby; its stores are closed when this returns."""
        process, self._process = self._process, None
        if process is not None:
            process.end(_STOP_S)

    def _heard(self, process: _Process, timeout_s: float) -> bool:
        try:
            process.hear(timeout_s)
        except DecodeError:
            return False
        return True

    def _start(self, now_s: float) -> None:
        try:
            self._process = _Process(self._command, now_s)
        except OSError as error:  # no memory, no processes left: not the worker's end
            again_in_s = self._wait(now_s)
            self._log.warning("standby_not_started", text=str(error), again_in_s=again_in_s)
        else:
            self._log.info("standby_started", pid=self._process.popen.pid)

    def _bury(self, what: str, grace_s: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        code = process.end(grace_s)
        now_s = self._clock.monotonic_s()
        if now_s - process.started_s >= _LONG_LIFE_S:
            self._backoff_s = _BACKOFF_S
        again_in_s = self._wait(now_s)
        self._log.warning("standby_lost", what=what, exit_code=code, again_in_s=again_in_s)

    def _wait(self, now_s: float) -> float:
        wait_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, _BACKOFF_S_MAX)
        self._next_start_s = now_s + wait_s
        return wait_s
