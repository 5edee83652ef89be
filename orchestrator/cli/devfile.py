"""How other verbs find the Kafka that `saga dev` runs: one small file in its directory."""

from __future__ import annotations

import os
from pathlib import Path

DEV_DIRECTORY = Path(".saga")
_NAME = "dev-servers"


def write_servers(directory: Path, servers: str) -> None:
    """Leave word where Kafka answers, for as long as this process lives."""
    (directory / _NAME).write_text(f"{os.getpid()} {servers}\n", encoding="utf-8")


def remove_servers(directory: Path) -> None:
    """Take it back."""
    (directory / _NAME).unlink(missing_ok=True)


def read_servers(directory: Path = DEV_DIRECTORY) -> str:
    """Give the address left there, empty if there is none or whoever left it is gone."""
    try:
        pid, _, servers = (directory / _NAME).read_text(encoding="utf-8").strip().partition(" ")
        os.kill(int(pid), 0)
    except (OSError, ValueError):
        return ""
    return servers
