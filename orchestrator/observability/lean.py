"""structlog without what it brings along for consoles.

Its console renderer, which nobody uses here, imports rich and pygments if they are there: 150 ms of
the 400 that a worker's imports take, and of each restart after a crash.
"""

from __future__ import annotations

import sys

__all__ = ["structlog"]

if "rich" in sys.modules:
    import structlog
else:
    sys.modules["rich"] = None  # type: ignore[assignment]  # to whom asks now, it is not installed
    try:
        import structlog
    finally:
        del sys.modules["rich"]
