"""SIGTERM and SIGINT: the first asks for a clean stop, the second ends the process at once."""

from __future__ import annotations

import os
import signal
from types import FrameType


class StopRequest:
    """True, when called, once the process was asked to stop. Made in the main thread.

    Args:
        parent: Process id of the supervisor, 0: none. Without its parent a worker stops as well.
    """

    def __init__(self, parent: int = 0) -> None:
        self._parent = parent
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def __call__(self) -> bool:
        """Whether to stop now."""
        return self._asked or (self._parent != 0 and os.getppid() != self._parent)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)
