"""A worker's local stores, read as copies: cloned first, so that the originals stay untouched."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from pathlib import Path

from orchestrator.audit.compare import Copy, Snapshot
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import ConfigurationError, NotFound
from orchestrator.store.rocks import RocksShared, RocksStore, StoreSettings

_SHARD = re.compile(r"(?:shard-)?(\d{3,})")
_CACHE_BYTES = 8 * 1024 * 1024
"""A scan from end to end gains nothing from a cache."""


class LocalStores:
    """Every shard store below a folder: one worker's, or all workers' of a machine.

    A worker that lost a shard may have left an older store of it behind; each is compared as of its
    own cursor.
    """

    def __init__(self, folder: Path, codec: RecordCodec) -> None:
        """Look for stores.

        Raises:
            NotFound: There is none.
        """
        self._folder = folder
        self._codec = codec
        self._paths = _find(folder)
        if not self._paths:
            raise NotFound("unknown_store", f"{folder} holds no local store of a shard")

    def copies(self, shard: int) -> tuple[Copy, ...]:
        """Read every store of a shard.

        Raises:
            ConfigurationError: A worker holds it.
            CorruptStore: It cannot be read.
            DecodeError: Its cursor cannot be decoded.
        """
        return tuple(self._copy(path) for path in self._paths.get(shard, ()))

    def _copy(self, path: Path) -> Copy:
        with tempfile.TemporaryDirectory(prefix="saga-replay-") as scratch:
            clone = Path(scratch) / "store"
            _refuse_held(path)
            _clone(path, clone)
            _refuse_held(path)
            store = RocksStore(clone, RocksShared(StoreSettings(cache_bytes=_CACHE_BYTES)))
            try:
                snapshots = {saga: Snapshot(value) for saga, value in store.items()}
                cursor = store.cursor()
            finally:
                store.close()
        decoded = None if cursor is None else self._codec.decode_cursor(cursor)
        return Copy(f"store {path.relative_to(self._folder)}", snapshots, decoded)


def _find(folder: Path) -> dict[int, list[Path]]:
    found: dict[int, list[Path]] = {}
    for current in sorted(folder.rglob("CURRENT")):
        match = _SHARD.fullmatch(current.parent.name)
        if match:
            found.setdefault(int(match[1]), []).append(current.parent)
    return found


def _refuse_held(path: Path) -> None:
    lock = path / "LOCK"
    if not lock.exists():
        return
    # Asked for and given back at once: a worker that starts just now may have it.
    with lock.open("rb+") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"store {path} is held by a running worker: stop it first, or leave --store out"
            ) from error


def _clone(source: Path, target: Path) -> None:
    """Copy a closed database; its large files never change once written, so a link will do."""
    target.mkdir()
    for file in source.iterdir():
        if file.name == "LOCK" or not file.is_file():
            continue
        if file.suffix != ".sst" or not _linked(file, target / file.name):
            shutil.copy2(file, target / file.name)


def _linked(file: Path, target: Path) -> bool:
    try:
        os.link(file, target)
    except OSError:  # another file system, or one without links
        return False
    return True
