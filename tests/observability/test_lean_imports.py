"""A worker's imports bring no console along, and leave it to whoever wants it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from orchestrator.observability import log
assert not {"rich", "pygments"} & sys.modules.keys(), sys.modules.keys()
log.configure("info")
log.get(worker="w").info("said")
import rich.console
"""


def test_logging_imports_no_console():
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60
    )

    assert ended.returncode == 0, ended.stderr
    assert '"event": "said"' in ended.stderr
