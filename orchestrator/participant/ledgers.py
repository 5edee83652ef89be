"""Which ledger a participant has, where it lies, and how others look into it."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import ConfigurationError
from orchestrator.participant.ledger import Ledger
from orchestrator.participant.ledger_rocks import RocksLedger
from orchestrator.participant.ledger_sqlite import SqliteLedger
from orchestrator.participant.settings import ParticipantSettings

_ROCKS, _SQLITE = "ledger.rocksdb", "ledger.sqlite"


def open_ledger(settings: ParticipantSettings, name: str, wanted: str | None) -> Ledger:
    """Open the ledger of the participant `name`, made if needed, for the process that owns it.

    `wanted` is the kind that its handlers ask for (see `handler.ledger_kind`). Raises
    ConfigurationError if that is not the kind that was set, or if the other kind lies there
    already: what was done is written there.
    """
    kind = settings.ledger_kind
    if kind == "auto":
        kind = wanted or "rocksdb"
    elif wanted not in (None, kind):
        raise ConfigurationError(
            f"ledger_kind={kind!r}: the handlers of {name} ask for {wanted}; set it, or auto"
        )
    directory = settings.ledger_directory / name
    other = directory / (_SQLITE if kind == "rocksdb" else _ROCKS)
    if other.exists():
        raise ConfigurationError(
            f"ledger_kind={kind!r}: {name} has a ledger of the other kind in {other}. Keep that"
            f" kind; to start anew, let all sagas end and move the directory away"
        )
    if kind == "sqlite":
        return SqliteLedger(directory / _SQLITE, fsync=settings.ledger_fsync)
    return RocksLedger(directory / _ROCKS, fsync=settings.ledger_fsync)


def read_ledger(directory: Path, name: str) -> Ledger:
    """Open the ledger of the participant `name` to look at it, beside its owner or after.

    What is seen is as of now; open it again to see more. Raises ConfigurationError if there is
    none.
    """
    if (directory / name / _SQLITE).exists():
        return SqliteLedger(directory / name / _SQLITE, read_only=True)
    return RocksLedger(directory / name / _ROCKS, read_only=True)
