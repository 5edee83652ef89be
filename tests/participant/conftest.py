"""Every ledger, opened as often as a test restarts."""

from __future__ import annotations

import pytest

from orchestrator.participant.ledger_memory import MemoryLedger
from orchestrator.participant.ledger_rocks import RocksLedger
from orchestrator.participant.ledger_sqlite import SqliteLedger

LEDGERS = ("memory", "rocksdb", "sqlite")


@pytest.fixture(params=LEDGERS)
def ledger_kind(request):
    return request.param


@pytest.fixture
def open_ledger(ledger_kind, tmp_path):
    opened = []
    memory = {}, {}

    def opener(**options):
        if ledger_kind == "memory":
            options.pop("fsync", None)
            ledger = MemoryLedger(*memory)
        elif ledger_kind == "rocksdb":
            ledger = RocksLedger(tmp_path / "rocks", **options)
        else:
            ledger = SqliteLedger(tmp_path / "ledger.sqlite", **options)
        opened.append(ledger)
        return ledger

    yield opener
    for ledger in opened:
        ledger.close()
