"""`saga worker` ends when it is told to, whatever it is doing."""

from __future__ import annotations

import signal
import subprocess
import sys

HANGING = """
from threading import Event

print("loading", flush=True)
Event().wait()
"""


def test_a_worker_that_hangs_in_its_users_module_can_be_stopped(tmp_path):
    (tmp_path / "hanging.py").write_text(HANGING)
    words = ["worker", "--modules", "hanging", "--bootstrap-servers", "127.0.0.1:1"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "orchestrator", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    try:
        assert worker.stdout.readline() == "loading\n"

        worker.send_signal(signal.SIGTERM)

        _, said = worker.communicate(timeout=60)
        assert worker.returncode == 0
        assert '"event": "stop_cut_short"' in said
        assert "hanging.py" in said
    finally:
        worker.kill()
