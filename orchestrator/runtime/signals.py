"""SIGTERM and SIGINT: the first asks for a clean stop, the second ends the process at once."""

from __future__ import annotations

import faulthandler
import os
import signal
import time
from threading import Thread
from types import FrameType

from orchestrator.observability.log import get

STOP_S = 2.0
"""How long a worker's stop may take: some ten times of what it takes where all answer."""
_LAST_S = 1.0
"""How much later the kernel ends a process that hangs in the interpreter's own end."""
_ASKING = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """True, when called, once the process was asked to stop. Made in the main thread.

    With `patience_s` a stop that takes longer is cut short: brokers may be silent, and calls of the
    client library, such as the end of a producer, have no limit of their own. That is for who may be
    killed at any moment, and so need not wait for anybody.

    Args:
        parent: Process id of the supervisor, 0: none. Without its parent a worker stops as well.
        patience_s: How long a stop may take, 0: as long as it likes.
    """

    def __init__(self, parent: int = 0, patience_s: float = 0.0) -> None:
        self._parent = parent
        self._patience_s = patience_s
        self._asked = False
        for number in _ASKING:
            signal.signal(number, self._on_signal)
        self._bell = _limit(patience_s) if patience_s else -1

    def __call__(self) -> bool:
        """Whether to stop now."""
        if not self._asked and self._parent and os.getppid() != self._parent:
            self._ask()
            if self._bell >= 0:
                os.write(self._bell, bytes([signal.SIGTERM]))
        return self._asked

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._ask()
        signal.signal(number, signal.SIG_DFL)

    def _ask(self) -> None:
        if self._patience_s:
            # The thread does so as well, but may never run again if the interpreter's end begins now.
            _end_by_kernel(self._patience_s)
        self._asked = True


def _end_by_kernel(patience_s: float) -> None:
    # At the interpreter's end no other thread of Python runs any more, and clients that are let go there
    # are waited for: then SIGALRM ends the process.
    signal.setitimer(signal.ITIMER_REAL, patience_s + _LAST_S)


def _limit(patience_s: float) -> int:
    """Limit what comes after the first signal that asks for a stop; give where to write its number."""
    ear, bell = os.pipe()
    os.set_blocking(bell, False)
    # Written when the signal comes, even while the main thread is in a call that does not come back
    # and runs no handler.
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    Thread(target=_cut_short, args=(ear, patience_s), name="stop", daemon=True).start()
    return bell


def _cut_short(ear: int, patience_s: float) -> None:
    while os.read(ear, 1)[0] not in _ASKING:
        pass  # another signal that somebody has a handler for
    # Should the main thread run no handler now, and then come to its end.
    _end_by_kernel(patience_s)
    time.sleep(patience_s)
    get().warning("stop_cut_short", seconds=patience_s)
    faulthandler.dump_traceback()
    os._exit(0)
