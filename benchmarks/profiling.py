"""Where the time goes: recordings of worker and participant under load, as flame graphs and stages.

Two recordings of each process with `py-spy`: CPU, native frames included, for the flame graph; and
wall clock, waiting included, for the table of stages.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import uuid
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.flame import (
    Stacks,
    busy,
    draw_flame,
    parse_stacks,
    self_shares,
    total_shares,
    within,
)
from benchmarks.installation import Installation
from benchmarks.rounds import write_result
from benchmarks.stages import PARTICIPANT_STAGES, WORKER_STAGES, Stage, stage_shares
from benchmarks.traffic import Traffic
from benchmarks.trip import NAMES, trip
from orchestrator.errors import ConfigurationError

if TYPE_CHECKING:
    from orchestrator import Start
    from orchestrator.kafka.settings import KafkaSettings

PICTURES = Path(__file__).parent.parent / "docs" / "performance"
_RATE_HZ = 200
_SETTLE_S = 4.0
_TOP_COUNT = 40
_SHOWN_COUNT = 12


def measure(kafka: KafkaSettings, options: Namespace) -> int:
    """Record worker and participant under load; write pictures, stages and top functions.

    Raises:
        ConfigurationError: `py-spy` is not installed, or may not look into processes.
    """
    spy = _spy()
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        run = uuid.uuid4().hex[:8]
        installation = Installation(kafka, Path(folder), run=run, participants=NAMES)
        with installation, _under_load(installation, options.in_flight):
            worker, flight = (installation.pids(role)[0] for role in ("worker", "participants"))
            for role, pid, loop, stages in (
                ("worker", worker, "Worker.run ", WORKER_STAGES),
                ("participant", flight, "Loop.run ", PARTICIPANT_STAGES),
            ):
                # Threads beside the loop only wait.
                cpu = within(busy(_record(spy, pid, options.seconds, "--native")), loop)
                wall = within(_record(spy, pid, options.seconds, "--idle"), loop)
                title = f"{role}: CPU of its Python thread, {options.in_flight:,} sagas in flight"
                PICTURES.mkdir(parents=True, exist_ok=True)
                picture = PICTURES / f"{options.name}-{role}.svg"
                picture.write_text(draw_flame(cpu, title))
                found[role] = _sum_up(cpu, wall, stages)
                _tell(role, found[role], picture)
    print(f"written to {write_result(options.name, vars(options), [], profile=found)}")
    return 0


@contextmanager
def _under_load(installation: Installation, in_flight: int) -> Iterator[None]:
    """Keep so many trips in flight while the block runs."""
    traffic = Traffic(installation.kafka, installation.topics, installation.partitions)
    installation.start()
    ended = threading.Event()

    def starts() -> Iterator[tuple[str, Start[Any]]]:
        for number in count():
            if ended.is_set():
                return
            payload = workload.payload("load", number)
            yield workload.saga_id("load", number), trip.given(payload)

    thread = threading.Thread(target=traffic.drive, args=(starts(), in_flight))
    thread.start()
    try:
        thread.join(_SETTLE_S)
        yield
    finally:
        ended.set()
        thread.join()
        traffic.close()


def _sum_up(cpu: Stacks, wall: Stacks, stages: tuple[Stage, ...]) -> dict[str, Any]:
    return {
        "cpu_shares": stage_shares(cpu, stages),
        "wall_shares": stage_shares(wall, stages),
        "top_cpu": self_shares(cpu, _TOP_COUNT),
        "top_wall": self_shares(wall, _TOP_COUNT),
        "total_cpu": {name: x for name, x in total_shares(cpu).items() if x >= 0.01},
    }


def _tell(role: str, found: dict[str, Any], picture: Path) -> None:
    print(f"\n{role}: {picture}\n  {'stage':<24} wall   CPU")
    for stage, wall_share in found["wall_shares"].items():
        print(f"  {stage:<24} {wall_share:>5.1%} {found['cpu_shares'][stage]:>5.1%}")
    print("  functions on top, of CPU")
    for name, share in list(found["top_cpu"].items())[:_SHOWN_COUNT]:
        print(f"  {share:>5.1%} {name}")


def _spy() -> str:
    found = shutil.which("py-spy") or shutil.which("py-spy", path=Path(sys.executable).parent)
    if found is None:
        raise ConfigurationError("py-spy is not installed: `pip install py-spy`")
    return found


def _record(spy: str, pid: int, seconds: int, kind: str) -> Stacks:
    with tempfile.NamedTemporaryFile(suffix=".raw") as file:
        words = ["record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(_RATE_HZ)]
        done = subprocess.run(
            [spy, *words, "--format", "raw", "--output", file.name, kind],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ConfigurationError(f"py-spy cannot record process {pid}: {done.stderr[-500:]}")
        return parse_stacks(Path(file.name).read_text())
