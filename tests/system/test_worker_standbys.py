"""Standbys: the heir of a lost worker goes on from a warm copy, and no standby ever does harm."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest
from worker_kit import Installation, Participants, trip_payload, wait_until

from orchestrator.runtime.main import RocksStores
from orchestrator.runtime.settings import instance_id
from orchestrator.store.rocks import StoreSettings

ONE = {"standbys": 1, "membership_interval_ms": 200, "standby_report_ms": 100}


@pytest.fixture
def place(kafka, topic_prefix, tmp_path):
    made = Installation(kafka.bootstrap_servers, topic_prefix, tmp_path)
    yield made
    made.close()


def lines(place, worker, event):
    return [line for line in place.log_of(worker) if line["event"] == event]


def pair(place):
    """Two workers with a shard each, and each with a warm copy of the other's."""
    workers = [place.worker(ordinal, standby=ONE) for ordinal in (0, 1)]
    for worker, other in zip(workers, (1, 0), strict=True):
        wait_until(
            lambda worker=worker, other=other: any(
                line["shard"] == other for line in lines(place, worker, "copy_caught_up")
            ),
            f"worker {worker.ordinal} to have a copy of shard {other}",
        )
    return workers


def start(place, name, count):
    place.start_many([f"{name}-{n}" for n in range(count)], lambda _: trip_payload(place))


def test_shards_are_shown_with_owner_heir_and_lag(place):
    with Participants(place):
        first, second = pair(place)
        start(place, "t", 20)
        place.wait_ended(20)

        def shown():
            done = place.saga("shards", "--json")
            found = json.loads(done.stdout)
            idle = all(s["waiting"] == 0 and s["heirs"][0]["lag"] == 0 for s in found["shards"])
            return (found, done.returncode) if idle else None

        found, code = wait_until(shown, "no lag anywhere")
        assert code == 0
        zero, one = (f"{place.prefix}-{n:03d}" for n in (0, 1))
        rows = [
            (s["shard"], s["state"], s["owner"], s["heirs"][0]["instance"])
            for s in found["shards"]
        ]
        assert rows == [(0, "running", zero, one), (1, "running", one, zero)]
        told = place.saga("shards")
        assert told.returncode == 0
        assert told.stdout.splitlines()[1].split()[:4] == ["0", "running", zero, "0"]
        place.stop(second)
        place.stop(first)


def test_saga_worker_has_a_standby_of_its_own(place):
    """As a user starts it: the standby gets the worker's options, and ends with it."""
    saga_worker = [sys.executable, "-m", "orchestrator", "--prefix", place.prefix, "worker"]
    options = ["--modules", place.program, "--data-dir", str(place.folder / "state")]
    options += ["--membership-interval-ms", "200"]
    where = {"SAGA_BOOTSTRAP_SERVERS": place.bootstrap_servers}
    workers = [
        place.run_worker(n, [*saga_worker, "--instance", str(n), *options], where) for n in (0, 1)
    ]
    for worker in workers:
        place.wait_logged(worker, "copy_caught_up")
    pids = [standby_pids(place, worker)[-1] for worker in workers]
    for worker in workers:
        place.stop(worker)
    assert not any(alive(pid) for pid in pids)


def test_the_heir_of_a_killed_worker_goes_on_from_its_copy(place):
    with Participants(place) as participants:
        heir, doomed = pair(place)
        start(place, "t", 150)
        place.wait_ended(150)
        (end,) = place.admin.end_offsets([(place.topics.changelog, 1)]).values()
        start(place, "u", 50)

        doomed.kill()
        doomed.wait()
        start(place, "v", 50)

        place.wait_ended(250)
        taken = next(line for line in lines(place, heir, "shard_running") if line["shard"] == 1)
        assert end > 300
        assert taken["restored_count"] < end / 4
        assert lines(place, heir, "store_set_aside") == []
        place.stop(heir)
        place.check(participants, place.stored([0]))


def standby_pids(place, worker):
    return [line["pid"] for line in lines(place, worker, "standby_started")]


def test_standbys_killed_and_frozen_at_any_time_harm_nothing(place):
    with Participants(place) as participants:
        heir, doomed = pair(place)
        for wave in range(3):
            start(place, f"t{wave}", 30)
            for worker in (heir, doomed):
                os.kill(standby_pids(place, worker)[-1], signal.SIGKILL)
            for worker in (heir, doomed):
                wait_until(
                    lambda worker=worker, lives=wave + 2: (
                        len(standby_pids(place, worker)) == lives
                        and lines(place, worker, "copy_caught_up")[-1]["time"]
                        > lines(place, worker, "standby_started")[-1]["time"]
                    ),
                    "another standby to have caught up",
                )
        os.kill(standby_pids(place, heir)[-1], signal.SIGSTOP)  # and it has shard 1 open

        doomed.kill()
        doomed.wait()
        start(place, "u", 30)

        place.wait_ended(120)
        assert [line["what"] for line in lines(place, heir, "standby_lost")][-1] == (
            "does not let go of its shards"
        )
        assert lines(place, heir, "store_set_aside") == []
        place.stop(heir)
        place.check(participants, place.stored([0]))


def test_a_copy_holds_what_its_owner_holds(place):
    """Sagas and timers; also after the standby was killed in the middle of it."""

    def answer(command):
        waits = command.saga.startswith("q") and command.step == "charge"
        return None if waits else participants.success(command)

    with Participants(place, answer) as participants:
        first, second = pair(place)
        start(place, "t", 60)
        start(place, "q", 20)
        os.kill(standby_pids(place, first)[0], signal.SIGKILL)
        start(place, "u", 60)
        place.wait_ended(120)
        wait_until(lambda: len(standby_pids(place, first)) == 2, "another standby")

        def settled():
            found = json.loads(place.saga("shards", "--json").stdout)["shards"]
            return all(s["heirs"][0]["lag"] == 0 and s["waiting"] == 0 for s in found)

        wait_until(settled, "copies without lag")
        place.stop(first)
        place.stop(second)

    for shard in (0, 1):
        mine, copied = (kept(place, ordinal, shard) for ordinal in (shard, 1 - shard))
        assert mine == copied
        states, timers, _ = mine
        assert len(states) > 50
        assert timers


def test_an_heir_killed_while_it_takes_over_does_so_again(place):
    with Participants(place) as participants:
        heir, doomed = pair(place)
        start(place, "t", 100)
        place.wait_ended(100)
        doomed.kill()
        doomed.wait()
        start(place, "u", 40)
        wait_until(
            lambda: any(line["shard"] == 1 for line in lines(place, heir, "copy_released")),
            "the standby to let go of shard 1",
        )
        heir.kill()
        heir.wait()
        again = place.worker(0, standby=ONE)

        place.wait_ended(140)

        taken = [line for line in lines(place, again, "shard_running") if line["shard"] == 1]
        assert taken[0]["restored_count"] < 100
        assert lines(place, again, "store_set_aside") == []
        place.stop(again)
        place.check(participants, place.stored([0]))


def kept(place, ordinal, shard):
    """Sagas, timers and cursor in one store of a stopped worker."""
    folder = place.folder / "state" / instance_id(place.prefix, ordinal)
    stores = RocksStores(folder, StoreSettings())
    store = stores.open(shard)
    found = dict(store.items()), store.due(2**60, 10_000), store.cursor()
    store.close()
    stores.close()
    return found


def test_a_worker_restarted_at_once_is_not_kept_out_by_its_old_standby(place):
    with Participants(place) as participants:
        first, second = pair(place)
        start(place, "t", 40)
        (pid,) = standby_pids(place, second)
        second.kill()
        second.wait()
        again = place.worker(1, standby=ONE)

        place.wait_ended(40)

        wait_until(lambda: not alive(pid), "the standby to end with its worker")
        wait_until(lambda: lines(place, again, "shard_running"), "its shard")
        assert [line["shards"] for line in lines(place, first, "rebalance")][-1] == [0]
        place.stop(first)
        place.stop(again)
        place.check(participants)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_new_worker_reads_before_it_joins(place):
    with Participants(place) as participants:
        first = place.worker(0)
        start(place, "t", 200)
        place.wait_ended(200)
        (end,) = place.admin.end_offsets([(place.topics.changelog, 1)]).values()

        second = place.worker(1, standby={"warm_up_lag_count": 5})
        running = place.wait_logged(second, "shard_running")

        (warmed,) = lines(place, second, "warmed_up")
        assert end > 300
        assert warmed["lags"]["1"] <= 5
        assert warmed["time"] < lines(place, second, "rebalance")[0]["time"]
        assert running["restored_count"] <= 10
        start(place, "u", 20)
        place.wait_ended(220)
        place.stop(first)
        place.stop(second)
        place.check(participants, {**place.stored([0], [0]), **place.stored([1], [1])})


def test_warming_up_ends_with_its_time(place):
    with Participants(place):
        first = place.worker(0)
        start(place, "t", 50)
        place.wait_ended(50)

        second = place.worker(1, standby={"warm_up_ms": 1, "warm_up_lag_count": 0})

        place.wait_logged(second, "shard_running")
        place.stop(first)
        place.stop(second)
