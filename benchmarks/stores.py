"""How long shards need that hold many sagas: restored from nothing, taken over, started again."""

from __future__ import annotations

import shutil
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.installation import Installation
from benchmarks.monitor import rss_mb
from benchmarks.outage import Figures, await_, events, installed, owned, summed, tell, time_s
from benchmarks.size import sleepers
from orchestrator.client import Client
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.settings import KafkaSettings

_CHUNK_COUNT = 20_000
_SAMPLE_COUNT = 2_000
_MARKERS_COUNT = 8
"""Offsets at the end of a changelog that may be markers, which no position need pass."""
_OURS, _ALL = {0, 1}, {0, 1, 2, 3}
"""Shards of worker 0 beside worker 1, and of both."""


def cold(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """The store is lost: everything is read from the changelog, with so many sagas in it."""
    levels = {}
    with installed(kafka, load=False) as (installation, _), _sleepers(installation) as fill:
        for level in sorted(options.levels):
            fill(level)
            rows = [_restored(installation) for _ in range(options.rounds)]
            levels[f"{level}"] = summed(rows, {"records_per_s": -100_000.0})
            tell(f"cold, {level:,} sagas", levels[f"{level}"])
    return {"levels": levels, "missed": [x for each in levels.values() for x in each["missed"]]}


def held(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """A worker is killed that holds so many sagas: started again, or its shards taken over.

    With a standby's copies, and without any. No other work: what is seen are the shards.
    """
    levels = {}
    with (
        installed(kafka, load=False, workers=2) as (installation, _),
        _sleepers(installation) as fill,
    ):
        for level in sorted(options.levels):
            fill(level)
            rows = []
            for _ in range(options.rounds):
                _await_copies(installation)
                row = _restarted(installation)
                row |= _named("copy", _taken_over(installation))
                _start_bare(installation)
                row |= _named("bare", _taken_over(installation))
                _start_with_copies(installation)
                rows.append(row)
            levels[f"{level}"] = summed(rows, {"copy_take_over_s": 0.7})
            tell(f"held, {level:,} sagas", levels[f"{level}"])
    return {"levels": levels, "missed": [x for each in levels.values() for x in each["missed"]]}


@contextmanager
def _sleepers(installation: Installation) -> Iterator[Callable[[int], None]]:
    """Give what makes the number of sagas that wait as large as wanted."""
    client = Client(settings=installation.kafka, prefix=installation.topics.prefix)
    waiting, filled_count = sleepers(), 0

    def fill(level: int) -> None:
        nonlocal filled_count
        while filled_count < level:
            step = min(_CHUNK_COUNT, level - filled_count)
            client.start_many(islice(waiting, step))
            filled_count += step
        _await_taken(installation, filled_count)

    yield fill
    client.close()


def _restarted(installation: Installation) -> Figures:
    """Kill worker 0, and start it again with its stores: from exec to its last shard running."""
    installation.kill("worker-0")
    started_s = _start(installation, 0)
    _await_owned(installation, 0, _OURS)
    running = events(installation.log("worker-0"), "shard_running")
    return {"restart_s": time_s(running[-1]) - started_s}


def _taken_over(installation: Installation) -> Figures:
    """Kill worker 0 for good; then bring it back."""
    installation.kill("worker-0")
    seen_count = len(installation.log("worker-1"))
    _await_owned(installation, 1, _ALL)
    log = installation.log("worker-1")[seen_count:]
    running = events(log, "shard_running")
    found = {
        "take_over_s": time_s(running[-1]) - time_s(events(log, "rebalance")[-1]),
        "restored": float(
            sum(line["restored_count"] for line in running if line["shard"] in _OURS)
        ),
        "worker_rss_mb": rss_mb(installation.pids("worker")[0]),
    }
    _start(installation, 0)
    _await_owned(installation, 0, _OURS)
    return found


def _start_bare(installation: Installation) -> None:
    """Let worker 1 have no copies, nor what is left of them."""
    installation.stop("worker-1")
    shutil.rmtree(_folder_of(installation, 1))
    _start(installation, 1, "--standbys", "0")
    _await_owned(installation, 1, _ALL - _OURS)
    _await_owned(installation, 0, _OURS)


def _start_with_copies(installation: Installation) -> None:
    installation.stop("worker-1")
    _start(installation, 1)
    _await_owned(installation, 1, _ALL - _OURS)
    _await_owned(installation, 0, _OURS)


def _start(installation: Installation, number: int, *arguments: str) -> float:
    (installation.folder / f"worker-{number}.log").unlink()
    started_s = time.time()
    installation.start_worker(number, *arguments)
    return started_s


def _folder_of(installation: Installation, number: int) -> Path:
    (found,) = (installation.folder / "stores").glob(f"*-{number:03d}")
    return found


def _await_owned(installation: Installation, number: int, shards: set[int]) -> None:
    await_(lambda: owned(installation, number) == shards, f"worker {number} with {shards}")


def _await_copies(installation: Installation) -> None:
    """Wait until worker 1 has copies of worker 0's shards that are not behind."""
    admin = KafkaAdmin(installation.kafka)
    places = [TopicPartition(installation.topics.changelog, shard) for shard in sorted(_OURS)]
    group = f"{installation.topics.prefix}-001.standby"

    def are_there() -> bool:
        found, ends = admin.positions(group), admin.end_offsets(places)
        return all(found.get(place, 0) >= ends[place] - _MARKERS_COUNT for place in places)

    await_(are_there, "copies", patience_s=300)


def _named(name: str, figures: Figures) -> Figures:
    return {f"{name}_{key}": value for key, value in figures.items()}


def _restored(installation: Installation) -> Figures:
    installation.stop("worker-0")
    shutil.rmtree(installation.folder / "stores")
    (installation.folder / "worker-0.log").unlink()
    installation.start_worker()
    await_(lambda: len(events(installation.log("worker-0"), "shard_running")) == 4, "restored")
    log = installation.log("worker-0")
    running = events(log, "shard_running")
    took_s = time_s(running[-1]) - time_s(events(log, "rebalance")[0])
    records_count = sum(line["restored_count"] for line in running)
    return {
        "records": records_count,
        "seconds": took_s,
        "records_per_s": records_count / took_s,
        "mb_per_s": records_count * _snapshot_bytes(installation) / took_s / 1e6,
        "worker_rss_mb": rss_mb(installation.pids("worker")[0]),
    }


def _snapshot_bytes(installation: Installation) -> float:
    """Mean size of the changelog's values."""
    reader = ChangelogReader(installation.kafka, "bench-recovery")
    place = Position(installation.topics.changelog, 0, 0)
    sizes = [len(e.value or b"") for batch in reader.read(place, _SAMPLE_COUNT) for e in batch]
    reader.close()
    return sum(sizes) / len(sizes)


def _await_taken(installation: Installation, wanted: int) -> None:
    """Wait until so many sagas have begun: until their step commands are all written."""
    admin = KafkaAdmin(installation.kafka)
    topic = installation.topics.commands
    places = [TopicPartition(topic, shard) for shard in range(installation.partitions)]
    group = installation.topics.prefix

    def taken() -> bool:
        found = admin.positions(group)
        return sum(found.get(place, 0) for place in places) >= wanted

    await_(taken, f"{wanted} starts taken", patience_s=600)
