"""How other verbs find what `saga dev` runs in this directory: one small file, while it lives."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestrator.errors import ConfigurationError

DEV_DIRECTORY = Path(".saga")
STATE, LEDGERS = "state", "ledgers"
_NAME = "dev.json"


class DevRuns(ConfigurationError):
    """`saga dev` runs already what was to be started."""

    operator_action = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dev:
    """A `saga dev` that runs."""

    pid: int
    servers: str
    prefix: str
    modules: tuple[str, ...]
    directory: str
    """Where it keeps everything."""
    workers_count: int
    participants: tuple[str, ...]
    """Whose processes it runs."""

    @property
    def tables(self) -> dict[str, dict[str, object]]:
        """The settings by which others work with what it has, as a settings file would hold them."""
        folder = Path(self.directory)
        return {
            "kafka": {"bootstrap_servers": self.servers},
            "program": {"prefix": self.prefix, "modules": list(self.modules)},
            "topic": {"profile": "development"},
            "worker": {"data_dir": str(folder / STATE)},
            "participant": {"ledger_directory": str(folder / LEDGERS)},
        }


@contextmanager
def written(dev: Dev) -> Iterator[None]:
    """Leave word of it, for as long as the block runs."""
    path = Path(dev.directory) / _NAME
    path.write_text(json.dumps(asdict(dev), indent=2) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def read(directory: Path = DEV_DIRECTORY) -> Dev | None:
    """Give what was left there; None if there is nothing, or whoever left it is gone."""
    try:
        found = json.loads((directory / _NAME).read_text(encoding="utf-8"))
        os.kill(int(found["pid"]), 0)
        lists = {name: tuple(found[name]) for name in ("modules", "participants")}
        return Dev(**{**found, **lists})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def refuse_second(directory: Path) -> None:
    """Refuse to start where another `saga dev` runs.

    Raises:
        DevRuns: One does.
    """
    dev = read(directory)
    if dev is not None:
        raise DevRuns(
            f"saga dev already runs here (pid {dev.pid}, Kafka at {dev.servers}); stop it with"
            f" Ctrl-C, or give this one another --dir"
        )
