"""A short mix of faults, as `make chaos` draws them for longer. The seed is in the output."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAULTS = "kill_worker,die_at_a_point,late_end,broken_connections,duplicate_commands,lose_store"
PATIENCE_S = 120


@pytest.mark.system
def test_a_short_mix_of_faults_breaks_no_promise():
    script = Path(__file__).with_name("run.py")
    command = [sys.executable, str(script), "--minutes", "0.25", "--pace", "1", "--faults", FAULTS]

    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=PATIENCE_S
    )

    assert ended.returncode == 0, ended.stdout[-6_000:] + ended.stderr[-2_000:]
