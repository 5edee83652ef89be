"""Cost against size: the rate and the memory while ever more sagas wait.

Sagas wait for a participant that is not there, each with two timers armed. At each level trips run
beside them; then the participant comes for a while, and the sagas that it wakes are as cold as
sagas get: of the store, not of the cache.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from argparse import Namespace
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.figures import percentiles_ms, spread, steady_rate
from benchmarks.installation import Installation
from benchmarks.long import SLEEPERS, TOUCHERS, WOKEN, Asked, sleeper
from benchmarks.monitor import cpu_s, rss_mb
from benchmarks.rounds import write_result
from benchmarks.traffic import Traffic
from benchmarks.trip import NAMES, participant_name
from benchmarks.verdict import WrongEffects, judge, rows_of
from orchestrator.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from orchestrator import Start

MODULES = "benchmarks.trip,benchmarks.long"
TRIPS_COUNT, IN_FLIGHT = 8_000, 1_000
WAKES_COUNT_MAX = 20_000
LEAST_SHARE = 0.8
"""Of the smallest level's rate: less at the largest fails."""
_CHUNK_COUNT = 20_000
_BARRIER_COUNT = 32
"""Trips that lie behind everything sent before, on every shard."""
_NOTE = "x" * 300
_QUIET_S = 5.0


class _Sized:
    """One installation that fills up."""

    def __init__(self, installation: Installation, traffic: Traffic) -> None:
        self.installation, self.traffic = installation, traffic
        self.worker = installation.pids("worker")[0]
        self.waiting_count = self.woken_count = 0
        self.trips: list[tuple[str, int]] = []
        self._sleepers = sleepers()

    def fill(self, level: int) -> dict[str, Any]:
        """Have so many sagas waiting."""
        count, began_s, cpu_before_s = (
            level - self.waiting_count,
            perf_counter(),
            cpu_s(self.worker),
        )
        for done in range(0, count, _CHUNK_COUNT):
            self.traffic.begin(islice(self._sleepers, min(_CHUNK_COUNT, count - done)))
            self.drive(_BARRIER_COUNT)  # ends when the worker has taken all of them
        took_s, cpu_used_s = perf_counter() - began_s, cpu_s(self.worker) - cpu_before_s
        self.waiting_count = level
        return {
            "starts_per_s": round(count / took_s, 1),
            "worker_cpu_us_per_start": round(cpu_used_s * 1e6 / count, 1),
            "worker_rss_mb": rss_mb(self.worker),
            "store_mb": _folder_mb(self.installation.folder / "stores"),
        }

    def drive(self, count: int) -> dict[str, Any]:
        """Run trips beside those that wait."""
        name = f"trip{len(self.trips)}"
        self.trips.append((name, count))
        cpu_before_s = cpu_s(self.worker)
        driven = self.traffic.drive(workload.starts(name, count), IN_FLIGHT)
        used_s = cpu_s(self.worker) - cpu_before_s
        return {
            "throughput_per_s": round(count / driven.wall_s, 1),
            "latency_ms": percentiles_ms(driven.latencies_s),
            "worker_cpu_us_per_saga": round(used_s * 1e6 / count, 1),
            "worker_rss_mb": rss_mb(self.worker),
        }

    def wake(self) -> dict[str, Any]:
        """Let the participant come, and go after a sample."""
        wanted = min(WAKES_COUNT_MAX, self.waiting_count)
        cpu_before_s = cpu_s(self.worker)
        self.installation.start_participant(SLEEPERS)
        ends_s = self.traffic.count_ends(wanted, _QUIET_S)
        used_s = cpu_s(self.worker) - cpu_before_s
        self.installation.stop(SLEEPERS)
        count = len(ends_s)
        more_count = len(self.traffic.count_ends(self.waiting_count))
        self.waiting_count -= count + more_count
        self.woken_count += count + more_count
        return {
            "woken_per_s": steady_rate(ends_s),
            "worker_cpu_us_per_wake": round(used_s * 1e6 / max(count, 1), 1),
        }

    def judge(self) -> None:
        """Raise WrongEffects if an effect is wrong; participants have stopped."""
        run, ledgers = self.installation.run, self.installation.ledgers
        effects = judge(ledgers, run, self.trips)
        woken = rows_of(ledgers, participant_name(run, SLEEPERS), WOKEN)
        twice = [saga for saga, count in woken.items() if count != 1]
        if not effects.clean or twice or len(woken) != self.woken_count:
            text = f"{len(woken)} woken, {self.woken_count} ended, twice {twice[:10]}"
            raise WrongEffects(f"{effects.figures()}; {text}")


def measure(kafka: KafkaSettings, options: Namespace) -> int:
    """Measure every level; write and print. Gives 1 if the rate sinks too far."""
    levels = []
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        installation = Installation(
            kafka,
            Path(folder),
            run=uuid.uuid4().hex[:8],
            participants=NAMES,
            silent=(SLEEPERS, TOUCHERS),
            modules=MODULES,
        )
        with installation:
            traffic = Traffic(kafka, installation.topics, installation.partitions)
            installation.start()
            sized = _Sized(installation, traffic)
            sized.drive(2_000)
            for level in sorted(options.levels):
                found = {"waiting": level, **sized.fill(level)}
                found["trips"] = [sized.drive(TRIPS_COUNT) for _ in range(options.rounds)]
                found |= sized.wake()
                levels.append(found)
                _tell(found)
            traffic.close()
            installation.stop()
            sized.judge()
    path = write_result(options.name, vars(options), [], levels=levels)
    first, last = (_rate(level["trips"]) for level in (levels[0], levels[-1]))
    print(f"rate at the largest level / at the smallest: {last / first:.2f}\nwritten to {path}")
    return int(last < LEAST_SHARE * first)


def _tell(found: dict[str, Any]) -> None:
    cpu_us = spread(trip["worker_cpu_us_per_saga"] for trip in found["trips"]) or {}
    print(
        f"{found['waiting']:>9,} waiting: {_rate(found['trips']):>7,.0f} trips/s beside them,"
        f" {cpu_us['median']:.0f} us of worker CPU a trip; worker {found['worker_rss_mb']:.0f} MB,"
        f" store {found['store_mb']:.0f} MB; {found['starts_per_s']:,.0f} starts/s,"
        f" {found['woken_per_s'] or 0:,.0f} woken/s",
        flush=True,
    )


def _rate(trips: list[dict[str, Any]]) -> float:
    return (spread(trip["throughput_per_s"] for trip in trips) or {})["median"]


def sleepers() -> Iterator[tuple[str, Start[Any]]]:
    """Give sagas that wait, without end."""
    number = 0
    while True:
        saga_id = f"sleeper-{number}"
        yield saga_id, sleeper.given(Asked(saga_id, _NOTE))
        number += 1


def _folder_mb(folder: Path) -> float:
    files = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
    return round(sum(file.stat().st_size for file in files if file.exists()) / 2**20, 1)
