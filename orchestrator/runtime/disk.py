"""Room on the disk of the local stores: below a watermark a worker takes no work.

A full disk breaks a store in the middle of a write, and what a worker has committed to Kafka by then
it must read again. Better to stop while there is room, and to go on by itself once there is again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

_LOOK_S = 1.0
_ENOUGH = 1.1
"""How much more than the watermark must be free before work goes on: no flapping."""


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written below a folder."""
    return shutil.disk_usage(folder).free


class DiskWatch:
    """Looks once a second at most."""

    def __init__(
        self, folder: Path, free_bytes_min: int, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`free_bytes_min` 0: never low."""
        self._folder = folder
        self._free_bytes_min = free_bytes_min
        self._monotonic_s = monotonic_s
        self._looked_s = -_LOOK_S
        self._is_low = False
        self.free_bytes = 0
        """What was free when it was last looked."""

    def is_low(self) -> bool:
        """Whether there is too little room to take work."""
        now_s = self._monotonic_s()
        if self._free_bytes_min and now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self.free_bytes = free_bytes(self._folder)
            enough = self._free_bytes_min * (_ENOUGH if self._is_low else 1)
            self._is_low = self.free_bytes < enough
        return self._is_low

    def wait(self, stop: Callable[[], bool]) -> None:
        """Return when there is room, or when `stop()` is true."""
        while self.is_low() and not stop():
            time.sleep(_LOOK_S / 10)
