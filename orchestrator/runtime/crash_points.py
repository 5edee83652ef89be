"""Named places where a test may kill the worker, to prove that any instant is a safe one to die.

`ORCHESTRATOR_CRASH=<point>[:nth][:kill|stop|raise]` arms one point; without it `reach` costs one
comparison. Each constant is used in exactly one place of the runtime.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from enum import StrEnum

from orchestrator.errors import ConfigurationError

VARIABLE = "ORCHESTRATOR_CRASH"


class CrashPoint(StrEnum):
    """The moments. C08 and C10 lie inside a call: an alarm is set just before it."""

    C01 = "C01"
    """Polled, nothing decoded."""
    C02 = "C02"
    """Decided, transaction not begun."""
    C03 = "C03"
    """Begun, first record queued."""
    C04 = "C04"
    """Half of the records queued."""
    C05 = "C05"
    """All queued, offsets not sent."""
    C06 = "C06"
    """Offsets sent to the transaction."""
    C07 = "C07"
    """Before the commit is asked for."""
    C08 = "C08"
    """While the commit is under way."""
    C09 = "C09"
    """Commit acknowledged, store not applied."""
    C10 = "C10"
    """While the store is written."""
    C11 = "C11"
    """Store applied, before the next poll."""
    C12 = "C12"
    """A revocation is being handled."""
    C13 = "C13"
    """A rebuild is half done."""
    C14 = "C14"
    """The barrier is committed, nothing restored yet."""
    C15 = "C15"
    """A timer was decided on, its command not produced."""
    C16 = "C16"
    """Rotation: the old producer is given up, the new one is not there."""


INSIDE = {CrashPoint.C08: 0.002, CrashPoint.C10: 0.000_05}
"""Points inside a call, and how long after its beginning death comes, in seconds."""


class CrashReached(BaseException):
    """Mode `raise`: unwinds everything, as no handler of ours catches it."""


class _Armed:
    def __init__(self, point: CrashPoint, nth: int, mode: str) -> None:
        self.point = point
        self.left = nth
        self.mode = mode


_armed: _Armed | None = None


def arm(text: str) -> None:
    """Arm the point that `text` names; empty: none. Raises ConfigurationError."""
    global _armed  # noqa: PLW0603  # one process, one crash; a parameter would be in every call
    if not text:
        _armed = None
        return
    parts = text.split(":")
    nth = next((part for part in parts[1:] if part.isdigit()), "1")
    mode = next((part for part in parts[1:] if not part.isdigit()), "kill")
    if parts[0] not in CrashPoint.__members__ or mode not in {"kill", "stop", "raise"}:
        raise ConfigurationError(f"{VARIABLE}={text}: not <C01..C16>[:nth][:kill|stop|raise]")
    _armed = _Armed(CrashPoint(parts[0]), int(nth), mode)


def arm_from(environment: Mapping[str, str]) -> None:
    """Arm what the environment asks for."""
    arm(environment.get(VARIABLE, ""))


def reach(point: CrashPoint) -> None:
    """Say that execution is at `point`; die if that is what was asked for."""
    if _armed is not None and _armed.point is point:
        _strike(_armed)


def _strike(armed: _Armed) -> None:
    armed.left -= 1
    if armed.left != 0:
        return
    if armed.mode == "raise":
        raise CrashReached(armed.point)
    after_s = INSIDE.get(armed.point)
    if armed.mode == "kill" and after_s is not None:
        # SIGALRM's own action ends the process from within the kernel, whatever call it is in.
        signal.setitimer(signal.ITIMER_REAL, after_s)
        return
    if armed.mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    # Sent to the process, the main thread would get it, and this one go on for as long as that takes.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
