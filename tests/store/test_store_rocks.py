"""The store on disk: the contract, and what only a disk can do to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from contract.shard_store import ShardStoreContract

from orchestrator.core.state import Timer
from orchestrator.errors import ConfigurationError, CorruptStore
from orchestrator.store import keys, rocks, write_behind
from orchestrator.store.base import Batch
from orchestrator.store.rocks import RocksStores, StoreSettings

SMALL = StoreSettings(cache_bytes=1 << 20, write_buffer_bytes=1 << 20, write_behind_ms=0)


@pytest.fixture
def stores(tmp_path):
    """Stores that write each batch at once."""
    return RocksStores(tmp_path / "data", SMALL)


class TestRocksStore(ShardStoreContract):
    @pytest.fixture(params=[0, StoreSettings().write_behind_ms])
    def stores(self, tmp_path, request):
        settings = replace(SMALL, write_behind_ms=request.param)
        return RocksStores(tmp_path / "data", settings)


def test_what_waits_is_written_after_a_while(tmp_path):
    stores = RocksStores(tmp_path / "data", replace(SMALL, write_behind_ms=10))
    store = stores.open(1)
    timer = Timer(7, "a", 0)
    store.apply(Batch(1, synced_at_ms=100, puts={"a": b"1"}, timers_added=(timer,)))
    store.apply(Batch(2, synced_at_ms=109, cursor=b"c", puts={"a": b"2"}))
    assert (store.get("a"), store.due(9, 9), store.cursor()) == (b"2", (timer,), b"c")
    assert store._handles.sagas.get(b"a") is None

    store.apply(Batch(3, synced_at_ms=110, puts={"b": b"1"}))
    assert store._handles.sagas.get(b"a") == b"2"

    store.apply(Batch(4, synced_at_ms=120, puts={"a": b"3"}))
    store.write_due(129)
    assert store._handles.sagas.get(b"a") == b"2"
    store.write_due(130)
    assert store._handles.sagas.get(b"a") == b"3"
    store.close()


def test_much_is_written_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(write_behind, "BYTES_MAX", 3)
    store = RocksStores(tmp_path / "data", replace(SMALL, write_behind_ms=10)).open(1)
    for position, found in ((1, None), (2, None), (3, b"3")):
        store.apply(Batch(position, synced_at_ms=1, puts={"a": b"%d" % position}))
        assert store._handles.sagas.get(b"a") == found
    store.close()


def test_a_store_that_breaks_while_it_holds_something_closes_and_lets_the_folder_go(tmp_path):
    stores = RocksStores(tmp_path / "data", replace(SMALL, write_behind_ms=10))
    store = stores.open(1)
    _break_tables(store, tmp_path / "data" / "shard-001")
    store.apply(Batch(3, synced_at_ms=200, puts={"a": b"3"}))
    store.close()
    stores.set_aside(1)
    assert stores.open(1).position() == 0


def test_a_folder_in_use_is_refused_and_free_after_close(stores):
    store = stores.open(1)
    with pytest.raises(ConfigurationError, match="open in another process"):
        stores.open(1)

    listing = store.items()
    store.close()
    stores.open(1).close()
    del listing


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="data_dir"):
        RocksStores(tmp_path / "file" / "below", SMALL).open(0)


@pytest.mark.parametrize("broken", ["MANIFEST-*", "CURRENT", "*.sst"])
def test_broken_files_are_corruption_and_can_be_set_aside(tmp_path, stores, broken):
    for _ in range(2):
        store = stores.open(1)
        store.apply(Batch(position=1, synced_at_ms=1, puts={"a": b"1" * 100}))
        store._handles.database.flush()
        store.close()
        for path in (tmp_path / "data" / "shard-001").glob(broken):
            path.write_bytes(b"junk")
        with pytest.raises(CorruptStore):
            _use(stores)
        stores.set_aside(1)

    assert stores.open(1).position() == 0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "shard-001",
        "shard-001.corrupt-1",
        "shard-001.corrupt-2",
    ]


def test_tables_that_break_in_use_refuse_the_next_batch_and_let_the_folder_go(tmp_path, stores):
    store = stores.open(1)
    _break_tables(store, tmp_path / "data" / "shard-001")

    with pytest.raises(CorruptStore):
        store.apply(Batch(position=3, synced_at_ms=200, puts={"a": b"2"}))
    assert keys.read_progress(store._handles.meta.get(keys.PROGRESS))[0] == 2
    store.close()
    stores.set_aside(1)
    assert stores.open(1).position() == 0


def _break_tables(store, folder):
    for position in (1, 2):
        store.apply(Batch(position, synced_at_ms=position, puts={"a": b"1" * 100}))
        assert list(store.items())  # what is held is written first
        store._handles.sagas.flush()
    for path in folder.glob("*.sst"):
        path.write_bytes(b"\0" * path.stat().st_size)
    store._handles.sagas.compact_range(None, None)


def _use(stores):
    store = stores.open(1)
    try:
        store.get("a")
    finally:
        store.close()


def test_another_layout_is_refused(stores, monkeypatch):
    stores.open(1).close()
    monkeypatch.setattr(rocks, "_LAYOUT", b"0")

    with pytest.raises(CorruptStore, match="layout"):
        stores.open(1)
    monkeypatch.undo()
    stores.open(1).close()


def test_the_past_is_buried_without_the_living(stores, monkeypatch):
    monkeypatch.setattr(rocks, "_GRAVES_COUNT_MAX", 10)
    store = stores.open(1)
    timers = tuple(Timer(due, "a", 0) for due in range(40))
    store.apply(Batch(position=1, synced_at_ms=0, timers_added=timers))
    for start in range(0, 30, 5):
        batch = Batch(position=1, synced_at_ms=0, timers_removed=timers[start : start + 5])
        store.apply(batch)
    store.close()

    store = stores.open(1)
    assert store.due(100, 100) == timers[30:]
    store.close()


def test_where_a_family_stands_outlives_the_burial_of_all_timers(stores, monkeypatch):
    monkeypatch.setattr(rocks, "_GRAVES_COUNT_MAX", 1)
    store = stores.open(1)
    timers = tuple(Timer(due, "a", 0) for due in (1, (1 << 63) - 1))
    store.apply(Batch(position=1, synced_at_ms=0, timers_added=timers))
    store.apply(Batch(position=2, synced_at_ms=0, timers_removed=timers))
    store.close()

    store = stores.open(1)
    assert (store.position(), store.due(1 << 63, 10), list(store.items())) == (2, (), [])
    store.close()


@pytest.mark.parametrize("family", ["sagas", "timers", "meta"])
def test_families_of_different_batches_are_corruption(stores, family):
    store = stores.open(1)
    store.apply(Batch(position=1, synced_at_ms=0, puts={"a": b"1"}))
    key = keys.PROGRESS if family == "meta" else keys.POSITION
    getattr(store._handles, family).put(key, keys.progress(2, 0))
    store.close()

    with pytest.raises(CorruptStore, match="stand at"):
        stores.open(1)


@pytest.mark.parametrize("held_count", [0, 5])
def test_a_killed_writer_leaves_whole_batches(tmp_path, held_count):
    """States, timers and cursor of batch n are all there or all absent, whenever it dies."""
    folder = tmp_path / "data"
    script = Path(__file__).with_name("store_writer.py")
    last = 0
    moment = Random(1)
    for _ in range(10):
        with subprocess.Popen(
            [sys.executable, str(script), str(folder), str(held_count)], stdout=subprocess.PIPE
        ) as writer:
            for _ in range(20):
                reported = int(writer.stdout.readline())
            # Its line woke us at one point of its loop; it shall die at any.
            kill_s = time.perf_counter() + moment.uniform(0, 0.003)
            while time.perf_counter() < kill_s:
                pass
            os.kill(writer.pid, signal.SIGKILL)
        store = RocksStores(folder, SMALL).open(1)
        number = store.position()
        assert number >= reported - held_count
        assert reported > last
        assert store.cursor() == b"%d" % number
        assert {snapshot for _, snapshot in store.items()} == {b"%d" % number}
        assert store.due(1 << 60, 10) == (Timer(number, "saga-0", 0),)
        last = number
        store.close()
