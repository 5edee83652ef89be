"""How long it takes to begin: imports, `saga --help`, a worker from exec to its first poll."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import uuid
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from benchmarks.figures import spread
from benchmarks.installation import Installation
from benchmarks.rounds import write_result
from benchmarks.trip import NAMES
from orchestrator.kafka.settings import KafkaSettings

BARS_MS = {"import orchestrator": 150, "saga --help": 300, "worker to first poll": 1_000}


def measure(kafka: KafkaSettings, options: Namespace) -> int:
    """Measure each so many times, in turn; write and print medians. Gives 1 if a bar was missed."""
    commands: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: _run_ms("-c", "pass"),
        "import orchestrator": lambda: _run_ms("-c", "import orchestrator"),
        "saga --help": lambda: _run_ms("-m", "orchestrator", "--help"),
    }
    runs: dict[str, list[float]] = {name: [] for name in (*commands, "worker to first poll")}
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        run = uuid.uuid4().hex[:8]
        with Installation(kafka, Path(folder), run=run, participants=NAMES) as installation:
            for number in range(options.rounds):
                for name, command in commands.items():
                    runs[name].append(command())
                runs["worker to first poll"].append(_worker_ms(installation, number))
    base_ms = sorted(runs["python -c pass"])[options.rounds // 2]
    runs["import orchestrator"] = [each - base_ms for each in runs["import orchestrator"]]
    summary = {name: spread(values) for name, values in runs.items()}
    late = 0
    for name, found in summary.items():
        if found is not None:
            bar_ms = BARS_MS.get(name)
            late += int(bar_ms is not None and found["median"] > bar_ms)
            print(
                f"{name:<22} {found['median']:>6.0f} ms ({found['min']:.0f} to {found['max']:.0f})"
                + (f"  bar {bar_ms}" if bar_ms else "")
            )
    print(f"written to {write_result(options.name, vars(options), [], startup_ms=summary)}")
    return int(late > 0)


def _run_ms(*words: str) -> float:
    began_s = time.perf_counter()
    subprocess.run(
        [sys.executable, *words],
        stdout=subprocess.DEVNULL,
        check=True,
        cwd=Path(__file__).parent.parent,
        env=os.environ,
    )
    return (time.perf_counter() - began_s) * 1e3


def _worker_ms(installation: Installation, number: int) -> float:
    """Time a worker up to `worker_ready`, which it logs on its way into the first poll."""
    (installation.folder / "worker-0.log").unlink(missing_ok=True)
    del number
    began_s = time.perf_counter()
    installation.start_worker()
    installation.await_log("worker-0", "worker_ready")
    took_ms = (time.perf_counter() - began_s) * 1e3
    installation.stop("worker-0")
    return took_ms
