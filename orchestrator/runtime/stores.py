"""The local stores of one instance, in one folder, and who may have them open.

Two processes of an instance share the folder: the worker and its standby, each with a lock of its
own. RocksDB's own lock makes sure that each shard's files are open in one of them at most.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from pathlib import Path

from orchestrator.errors import ConfigurationError
from orchestrator.store.base import ShardStore
from orchestrator.store.rocks import RocksShared, RocksStore, StoreSettings

WORKER_LOCK = "worker.lock"
STANDBY_LOCK = "standby.lock"
_ORPHAN_S = 5.0
_ORPHAN_LOOK_S = 0.01


class RocksStores:
    """The stores of one instance: `<data_dir>/<instance id>/<shard>`."""

    def __init__(self, folder: Path, settings: StoreSettings, lock: str = WORKER_LOCK) -> None:
        """Lock the folder: a second process must find out before it takes the first one's identity.

        Raises ConfigurationError if another process has it, or it cannot be written.
        """
        self._folder = folder
        self._shared = RocksShared(settings)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / lock).open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigurationError(
                f"data_dir: another {lock.partition('.')[0]} runs in {folder}; give each worker its"
                " own ordinal"
            ) from error
        except OSError as error:
            raise ConfigurationError(f"data_dir: {folder} cannot be written: {error}") from error

    def await_standby(self) -> None:
        """Wait until the standby of an earlier worker has ended, as it does when its worker has.

        Raises ConfigurationError if it does not.
        """
        until_s = time.monotonic() + _ORPHAN_S
        with (self._folder / STANDBY_LOCK).open("ab") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as error:
                    if time.monotonic() > until_s:
                        raise ConfigurationError(
                            f"data_dir: the standby of an earlier worker still runs in"
                            f" {self._folder}: end it"
                        ) from error
                    time.sleep(_ORPHAN_LOOK_S)
                else:
                    return

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def open(self, partition: int) -> ShardStore:
        """Open or make the store of a shard."""
        return RocksStore(self._path(partition), self._shared)

    def set_aside(self, partition: int) -> str:
        """Keep the broken store beside the new one, for whoever wants to know why; only the last."""
        path = self._path(partition)
        aside = path.with_name(f"{path.name}.set-aside")
        shutil.rmtree(aside, ignore_errors=True)
        if path.exists():
            path.rename(aside)
        return str(aside)

    def _path(self, partition: int) -> Path:
        return self._folder / f"{partition:03d}"
