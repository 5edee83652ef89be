"""M35 to M38, M40, M41: what a local store may suffer. The changelog is the truth; a store is a copy."""

from __future__ import annotations

import resource
import shutil
import signal

import pytest
from town import wait_until

from orchestrator.codec.records import Cursor
from orchestrator.errors import CorruptStore
from orchestrator.store.base import Batch
from orchestrator.store.rocks import RocksShared, RocksStore, StoreSettings


@pytest.fixture
def stopped(town):
    """A town whose worker was killed with sagas under way, and both stores on disk."""
    worker = town.worker()
    town.begin(60)
    town.wait_ended()
    town.bank.freeze()
    town.begin(24)
    wait_until(lambda: inputs_count(worker) >= 84, "the last sagas' start")
    worker.kill()
    town.bank.signal(signal.SIGCONT)
    return town


def inputs_count(worker):
    """How many inputs a worker has said to have taken."""
    return max((line.get("inputs_count", 0) for line in worker.lines("counters")), default=0)


def flush(path):
    """Let a store have tables."""
    store = RocksStore(path, RocksShared(StoreSettings()))
    store._handles.database.flush()
    store.close()


def flip_sst(path):
    flush(path)
    for table in path.glob("*.sst"):
        data = bytearray(table.read_bytes())
        for at in range(0, len(data), 7):
            data[at] ^= 0xFF
        table.write_bytes(data)


def delete_sst(path):
    flush(path)
    for table in path.glob("*.sst"):
        table.unlink()


def tear_log(path):
    logs = sorted(path.glob("*.log"), key=lambda log: log.stat().st_size)
    data = logs[-1].read_bytes()
    logs[-1].write_bytes(data[: len(data) * 2 // 3])


def nuke(path):
    path.rename(path.with_name("gone"))


@pytest.mark.parametrize("harm", [flip_sst, delete_sst, tear_log, nuke])
def test_a_harmed_store_is_found_out_and_rebuilt(stopped, harm):
    harm(stopped.store_path(0, 0))

    heir = stopped.worker()
    stopped.wait_ended()

    stopped.check()
    aside = {line["shard"]: line["reason"] for line in heir.lines("store_set_aside")}
    restored = heir.lines("worker_stopped")[0]["restored_count"]
    if harm in {nuke, tear_log}:
        assert aside == {}  # whole, only behind
        assert restored > 2  # the two barriers
    else:
        assert aside == {0: "corrupt"}


def test_a_store_that_is_harmed_while_it_is_in_use(stopped):
    path = stopped.store_path(0, 1)
    flush(path)
    heir = stopped.worker()
    heir.wait_logged("shard_running", 2)
    for table in path.glob("*.sst"):
        table.write_bytes(b"\0" * table.stat().st_size)

    stopped.begin(24)
    stopped.wait_ended()

    stopped.check(stores=False)  # what nobody needed to read is still harmed


def test_a_store_that_breaks_while_a_transaction_is_put_into_it(town, tmp_path):
    rotten = tmp_path / "rotten"
    worker = town.worker(rotten=rotten)
    town.begin(30)
    town.wait_ended()
    rotten.write_text(town.store_path(0, 1).name)
    town.begin(60)
    town.wait_ended()
    worker.wait_logged("store_set_aside")
    worker.wait_logged("shard_running", 2 * town.partitions)  # all were taken over again

    town.check()
    (aside,) = worker.lines("store_set_aside")
    assert (aside["shard"], aside["reason"]) == (1, "corrupt")
    assert "Corruption" in aside["text"]
    assert not worker.lines("transaction_failed")
    (stopped,) = worker.lines("worker_stopped")  # it lived through it
    assert stopped["restored_count"] > 30


def test_a_manifest_that_lost_its_end_never_parts_cursor_and_sagas(tmp_path):
    whole = tmp_path / "whole"
    store = RocksStore(whole, RocksShared(StoreSettings()))
    for number in range(1, 21):
        store.apply(Batch(number, 1, b"cursor", {f"s-{number}": b"state"}))
    store.close()
    (manifest,) = whole.glob("MANIFEST-*")
    data = manifest.read_bytes()
    for cut in range(len(data) - 200, len(data), 10):
        path = tmp_path / f"cut-{cut}"
        shutil.copytree(whole, path)
        (path / manifest.name).write_bytes(data[:cut])
        try:
            store = RocksStore(path, RocksShared(StoreSettings()))
        except CorruptStore:
            continue
        held = {saga for saga, _ in store.items()}
        position = store.position()
        store.close()
        assert held == {f"s-{number}" for number in range(1, position + 1)}


def test_a_store_that_is_ahead_of_the_changelog_is_not_believed(stopped):
    store = RocksStore(stopped.store_path(0, 0), RocksShared(StoreSettings()))
    foreign = Cursor(9_999, (), 0, "somebody", 1, stopped.partitions, 0)
    encoded = stopped.codec.encode_cursor(foreign)
    store.apply(Batch(1_000_000, 2**62, encoded, {"m-999999-ok": b"not committed"}))
    store.close()

    heir = stopped.worker()
    stopped.wait_ended()

    stopped.check()
    assert [line["reason"] for line in heir.lines("store_set_aside")] == ["ahead"]


def test_an_older_store_only_has_more_to_catch_up_with(stopped):
    first = stopped.state.with_name("backup")
    shutil.copytree(stopped.state, first)
    worker = stopped.worker()
    stopped.wait_ended()
    stopped.stop(worker)
    shutil.rmtree(stopped.state)
    first.rename(stopped.state)

    heir = stopped.worker()
    stopped.begin(12)
    stopped.wait_ended()

    stopped.check()
    assert heir.lines("store_set_aside") == []


def test_a_store_that_somebody_else_has_open_refuses_the_worker(stopped):
    store = RocksStore(stopped.store_path(0, 0), RocksShared(StoreSettings()))
    refused = stopped.worker()

    assert refused.died() == 1
    assert "LOCK" in refused.log.read_text() or "in use" in refused.log.read_text()

    store.close()
    stopped.worker()
    stopped.wait_ended()
    stopped.check()


def test_a_folder_that_cannot_be_written_refuses_the_worker(town):
    refused = town.worker(data_dir="/proc/nowhere")

    assert refused.died() == 1
    assert "data_dir: /proc/nowhere" in refused.log.read_text()


def test_no_work_is_taken_while_the_disk_is_nearly_full(town, tmp_path):
    free = tmp_path / "free"
    free.write_text("1000")
    worker = town.worker(free=free, settings={"disk_free_bytes_min": 500})
    town.begin(12)
    town.wait_ended()

    free.write_text("499")
    worker.wait_logged("intake_paused")
    town.begin(24)
    counted = len(worker.lines("counters"))
    worker.wait_logged("counters", counted + 3)  # three seconds in which it could have worked
    inputs = {line["inputs_count"] for line in worker.lines("counters")[counted + 1 :]}
    assert len(inputs) == 1
    wait_until(lambda: town.shown() == ([("held", "disk_low")] * 2, 1), "saga shards to show it")
    worker.kill()
    heir = town.worker(free=free, settings={"disk_free_bytes_min": 500})
    heir.wait_logged("waiting_for_disk")
    assert not heir.lines("worker_ready")

    free.write_text("550")
    heir.wait_logged("shard_running", 2)
    town.wait_ended()
    wait_until(lambda: town.shown() == ([("running", None)] * 2, 0), "saga shards to show it")
    free.write_text("1")
    heir.wait_logged("intake_paused")
    town.begin(12)
    free.write_text("1000")
    heir.wait_logged("intake_resumed")
    town.wait_ended()

    town.check()
    assert heir.lines("worker_stopped")[0]["disk_pauses_count"] == 1


def largest_log(town):
    """Bytes of the longest write-ahead log of the worker's stores."""
    return max(log.stat().st_size for log in town.state.rglob("*.log"))


def test_a_worker_stands_still_while_its_disk_refuses_to_write(town):
    # The limit of a file's size makes the kernel refuse what RocksDB appends, as a broken disk would.
    worker = town.worker()
    town.begin(200)  # so that a log is larger than any file that is written when a store is opened
    town.wait_ended()
    resource.prlimit(worker.popen.pid, resource.RLIMIT_FSIZE, (largest_log(town), -1))
    town.begin(30)
    worker.wait_logged("disk_failed")
    worker.wait_logged("disk_back")
    resource.prlimit(worker.popen.pid, resource.RLIMIT_FSIZE, (-1, -1))
    town.begin(30)
    town.wait_ended()

    town.check()
    assert worker.lines("worker_stopped")[0]["disk_failures_count"]
    assert not worker.lines("store_set_aside")


@pytest.mark.parametrize("when", ["at the start", "at work"])
def test_a_disk_that_fails_for_long_ends_no_worker(town, tmp_path, when):
    broken = tmp_path / "broken"
    if when == "at the start":
        broken.touch()
    worker = town.worker(broken=broken)
    if when == "at work":
        town.begin(30)
        town.wait_ended()
        broken.touch()
    town.begin(30)
    worker.wait_logged("disk_failed", 4)
    wait_until(
        lambda: town.shown() == ([("held", "disk_failed")] * 2, 1), "saga shards to show it"
    )
    broken.unlink()
    town.begin(30)
    town.wait_ended()

    town.check()
    assert worker.lines("worker_stopped")[0]["disk_failures_count"] >= 4
    assert not worker.lines("store_set_aside")
