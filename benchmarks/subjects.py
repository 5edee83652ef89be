"""What is measured: the engine, and the floor. Each gives the same fields for one run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import workload
from benchmarks.figures import percentiles_ms, steady_rate
from benchmarks.installation import Installation
from benchmarks.monitor import Monitor, broker_pids
from benchmarks.traffic import Driven, Traffic
from benchmarks.trip import NAMES
from benchmarks.verdict import WrongEffects, judge
from orchestrator.errors import TimedOut
from orchestrator.kafka.settings import KafkaSettings

WARM_UP_COUNT = 2_000
WARM_UP_IN_FLIGHT = 200
_WARM, _RUN = "warm", "trip"
_BARE_S_MAX = 300.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What one run is asked to do."""

    sagas: int
    in_flight: int
    partitions: int = 4
    replication: int = 1
    warm_up: int = WARM_UP_COUNT
    workers: int = 1


def run_engine(kafka: KafkaSettings, load: Load, keep: Path | None = None) -> dict[str, Any]:
    """Measure the engine once, with the defaults that it is shipped with, and judge what it did.

    Raises:
        WrongEffects: An effect or an end is wrong; the figures do not count.
        TimedOut: Sagas do not end, or a process does not.
    """
    run = uuid.uuid4().hex[:8]
    folder = Path(tempfile.mkdtemp(prefix="saga-bench-")) if keep is None else keep / run
    installation = Installation(
        kafka,
        folder,
        run=run,
        participants=NAMES,
        partitions=load.partitions,
        replication=load.replication,
        workers=load.workers,
    )
    with installation:
        traffic = Traffic(kafka, installation.topics, load.partitions)
        installation.start()
        warm_up_in_flight = min(WARM_UP_IN_FLIGHT, load.warm_up)
        warm = traffic.drive(workload.starts(_WARM, load.warm_up), warm_up_in_flight)
        roles = {
            "broker": broker_pids(),
            "worker": installation.pids("worker"),
            "participants": installation.pids("participants"),
            "client": [os.getpid()],
        }
        with Monitor(roles) as monitor:
            driven = traffic.drive(workload.starts(_RUN, load.sagas), load.in_flight)
        traffic.close()
    counters = installation.worker_counters()
    found = _figures(load, driven) | monitor.figures(load.sagas)
    batches = ((_WARM, load.warm_up), (_RUN, load.sagas))
    effects = judge(installation.ledgers, run, batches)
    found["effects"] = effects.figures()
    found["worker_counters"] = counters
    warm_wrong_count = _wrong_count(warm, _WARM, load.warm_up)
    if not effects.clean or found["wrong_outcome"] or warm_wrong_count or driven.doubled:
        raise WrongEffects(f"{json.dumps(found)}; kept in {folder}")
    if keep is None:
        shutil.rmtree(folder)
    return found


def run_bare(kafka: KafkaSettings, load: Load) -> dict[str, Any]:
    """Measure the floor once, on the same broker.

    Raises:
        TimedOut: It does not end, or fails; the text has what it wrote.
    """
    options = {
        "bootstrap": kafka.bootstrap_servers,
        "sagas": load.sagas,
        "in-flight": load.in_flight,
        "partitions": load.partitions,
        "replication": load.replication,
        "warm-up": load.warm_up,
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    words += ["--broker-pid", *map(str, broker_pids())]
    command = [sys.executable, "-m", "benchmarks.bare", *words]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_BARE_S_MAX,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise TimedOut("bare_failed", f"{error}: {error.stderr!r}") from error
    found: dict[str, Any] = json.loads(done.stdout)
    if found["wrong_outcome"]:
        raise WrongEffects(f"the bare loop: {done.stdout}")
    return found


def _figures(load: Load, driven: Driven) -> dict[str, Any]:
    ended_count = len(driven.latencies_s)
    outcomes: dict[str, int] = {}
    for business in driven.outcomes.values():
        outcomes[business] = outcomes.get(business, 0) + 1
    return {
        "sagas": load.sagas,
        "ended": ended_count,
        "in_flight": load.in_flight,
        "wall_s": round(driven.wall_s, 3),
        "throughput_per_s": round(ended_count / driven.wall_s, 1),
        "steady_throughput_per_s": steady_rate(driven.ends_s),
        "latency_ms": percentiles_ms(driven.latencies_s),
        "outcomes": outcomes,
        "wrong_outcome": _wrong_count(driven, _RUN, load.sagas) + driven.doubled.total(),
    }


def _wrong_count(driven: Driven, batch: str, count: int) -> int:
    return sum(
        driven.outcomes.get(workload.saga_id(batch, number)) != workload.business(number)
        for number in range(count)
    )
