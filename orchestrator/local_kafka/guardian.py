"""Runs one command and sees to it that the command does not outlive whoever wanted it.

A program of its own, started by path with the standard library alone (20 ms):

    python -I -S guardian.py LOG THROWN_AWAY COMMAND...

It writes the command's process id to stdout and returns the command's exit code. The caller holds
the write end of its stdin and never writes: end of file means that the caller is gone, also after
SIGKILL. Then the command is stopped, and the directory THROWN_AWAY, if one is given, is deleted.
On Linux the command dies with the guardian, too, whatever happens to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
# Long enough for a broker to write its clean-shutdown markers, short enough not to be noticed.
_GRACE_S = 10
# A forked sibling of ours may hold the pipe open for longer than the caller lives; this is how
# soon we look whether the caller is still our parent.
_PARENT_CHECK_S = 1.0
_CANNOT_START = 127


def main(log_path: str, thrown_away: str, *command: str) -> int:
    """Run `command` until it ends or the caller is gone; return its exit code."""
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(log_path).open("ab") as log:
        try:
            child = _spawn(command, log)
        except OSError as error:
            log.write(f"{error}\n".encode())
            return _CANNOT_START
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    os.write(1, f"{child.pid}\n".encode())
    abandoned = threading.Event()
    # Data that is thrown away needs no orderly end.
    grace_s = 0 if thrown_away else _GRACE_S
    watched = (parent, child, abandoned, grace_s)
    threading.Thread(target=_watch, args=watched, daemon=True).start()
    code = child.wait()
    if abandoned.is_set() and thrown_away:
        shutil.rmtree(thrown_away, ignore_errors=True)
    return code


def _spawn(command: tuple[str, ...], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        # Safe: there is no second thread yet, and this thread outlives the child.
        preexec_fn=_die_with_guardian if sys.platform == "linux" else None,  # noqa: PLW1509
    )


def _watch(
    parent: int, child: subprocess.Popen[bytes], abandoned: threading.Event, grace_s: float
) -> None:
    while os.getppid() == parent:
        readable, _, _ = select.select([0], [], [], _PARENT_CHECK_S)
        if readable and not os.read(0, 1):
            break
    abandoned.set()
    if grace_s:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    child.kill()


def _die_with_guardian() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
