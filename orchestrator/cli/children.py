"""Processes under one roof: started, heard, restarted when they die, stopped together."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import IO, Self

SUPERVISOR = "SAGA_SUPERVISOR"
"""Environment variable that tells a child the process id of its supervisor: without it, it stops."""

_STOP_GRACE_S = 20.0
"""How long children may take to finish what runs; then SIGKILL, which loses nothing but time."""
_SHORT_LIFE_S = 5.0
_SHORT_LIVES_MAX = 3
"""A child that dies so often, each time so soon, will not live: better to say so than to spin."""
_READ_BYTES = 65_536


@dataclass(slots=True)
class Child:
    """One process that is to be kept alive."""

    name: str
    arguments: tuple[str, ...]
    """Of `saga`."""
    process: subprocess.Popen[bytes]
    started_s: float
    restarts_count: int = 0
    short_lives_count: int = 0
    rest: bytes = field(default=b"", repr=False)
    """The begun line of its output."""

    @property
    def output(self) -> IO[bytes]:
        """Where it is heard."""
        if self.process.stdout is None:
            raise ValueError(f"{self.name} has no output")
        return self.process.stdout


OnLine = Callable[[str, str], None]
"""Told each line that a child writes: its name, the line."""
OnExit = Callable[[Child, int, bool], None]
"""Told when a child has died: itself, or who was started in its place; its exit code, and whether
one was."""


def saga_command(*arguments: str) -> list[str]:
    """Give the command line that runs `saga` with this very Python."""
    return [sys.executable, "-m", "orchestrator", *arguments]


class Children:
    """Supervises child processes of `saga`. Use it in a `with` block: they end with it."""

    def __init__(self, on_line: OnLine, on_exit: OnExit) -> None:
        self._on_line = on_line
        self._on_exit = on_exit
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def running(self) -> tuple[Child, ...]:
        """Those that live, as far as is known."""
        return tuple(self._children)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Start a child that runs `saga` with these arguments."""
        child = Child(name, tuple(arguments), _spawn(arguments), monotonic())
        self._adopt(child)

    def turn(self, timeout_s: float) -> None:
        """Pass on what children say, and start anew those that have died; wait so long at most."""
        for key, _ in self._selector.select(timeout_s):
            child: Child = key.data
            data = os.read(child.output.fileno(), _READ_BYTES)
            if data:
                self._hear(child, data)
            else:
                self._bury(child)

    def stop(self) -> None:
        """Ask all to stop, wait until they have finished, kill those that do not."""
        for child in self._children:
            _signal(child, signal.SIGTERM)
        until_s = monotonic() + _STOP_GRACE_S
        while self._children and monotonic() < until_s:
            for key, _ in self._selector.select(max(0.0, until_s - monotonic())):
                child = key.data
                data = os.read(child.output.fileno(), _READ_BYTES)
                if data:
                    self._hear(child, data)
                else:
                    self._forget(child)
        for child in list(self._children):
            _signal(child, signal.SIGKILL)
            self._forget(child)
        self._selector.close()

    def _adopt(self, child: Child) -> None:
        self._children.append(child)
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def _hear(self, child: Child, data: bytes) -> None:
        *lines, child.rest = (child.rest + data).split(b"\n")
        for line in lines:
            self._on_line(child.name, line.decode("utf-8", "replace"))

    def _bury(self, child: Child) -> None:
        code = self._forget(child)
        lived_s = monotonic() - child.started_s
        short_count = child.short_lives_count + 1 if lived_s < _SHORT_LIFE_S else 0
        again = code != 0 and short_count < _SHORT_LIVES_MAX
        if again:
            child = replace(
                child,
                process=_spawn(child.arguments),
                started_s=monotonic(),
                restarts_count=child.restarts_count + 1,
                short_lives_count=short_count,
                rest=b"",
            )
            self._adopt(child)
        self._on_exit(child, code, again)

    def _forget(self, child: Child) -> int:
        if child.rest:
            self._hear(child, b"\n")
        self._selector.unregister(child.output)
        code = child.process.wait()
        child.output.close()
        self._children.remove(child)
        return code


def _spawn(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which then stops
    # the children in its own order.
    return subprocess.Popen(  # noqa: S603 - our own interpreter with our own arguments
        saga_command(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, SUPERVISOR: str(os.getpid()), "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def _signal(child: Child, number: signal.Signals) -> None:
    try:
        child.process.send_signal(number)
    except ProcessLookupError:  # it has just died by itself
        return
