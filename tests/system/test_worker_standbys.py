"""Standbys: the heir of a lost worker goes on from a warm copy, and no standby ever does harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from worker_kit import Installation, Participants, trip_payload, wait_until

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


def saga(place, *words):
    """Run `saga` beside the workers."""
    where = ["--prefix", place.prefix, "--bootstrap-servers", place.bootstrap_servers]
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words, *where],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )


def test_shards_are_shown_with_owner_heir_and_lag(place):
    with Participants(place):
        first, second = pair(place)
        start(place, "t", 20)
        place.wait_ended(20)

        def shown():
            done = saga(place, "shards", "--json")
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
        told = saga(place, "shards")
        assert told.returncode == 0
        assert told.stdout.splitlines()[1].split()[:4] == ["0", "running", zero, "0"]
        place.stop(second)
        place.stop(first)


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
