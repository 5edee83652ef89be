"""What a step costs in a saga of 3 steps and in one of 100."""

from __future__ import annotations

import tempfile
import uuid
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.figures import spread
from benchmarks.installation import Installation
from benchmarks.long import SLEEPERS, TOUCHED, TOUCHERS, Asked, steps_3, steps_100
from benchmarks.monitor import cpu_s
from benchmarks.rounds import write_result
from benchmarks.traffic import Traffic
from benchmarks.trip import participant_name
from benchmarks.verdict import WrongEffects, rows_of
from orchestrator.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from orchestrator import Saga, Start

IN_FLIGHT = 300
STEPS_COUNT = 30_000
"""Steps of a run: both kinds of saga do as many."""
RATIO_MAX = 1.5
_NOTE = "x" * 300


def measure(kafka: KafkaSettings, options: Namespace) -> int:
    """Measure both kinds in turn; write and print. Gives 1 if long sagas cost too much a step."""
    kinds: dict[int, Saga[Asked, Any]] = {3: steps_3, 100: steps_100}
    rows: list[dict[str, Any]] = []
    wanted: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        installation = Installation(
            kafka,
            Path(folder),
            run=uuid.uuid4().hex[:8],
            participants=(TOUCHERS,),
            silent=(SLEEPERS,),
            modules="benchmarks.long",
        )
        with installation:
            traffic = Traffic(kafka, installation.topics, installation.partitions)
            installation.start()
            worker = installation.pids("worker")[0]
            for number in range(-1, options.rounds):  # the first is for warming up
                for steps_count, saga in kinds.items():
                    count = STEPS_COUNT // steps_count // (10 if number < 0 else 1)
                    starts = dict(_starts(saga, f"steps{steps_count}-{number + 1}", count))
                    wanted |= dict.fromkeys(starts, steps_count)
                    cpu_before_s = cpu_s(worker)
                    driven = traffic.drive(starts.items(), IN_FLIGHT)
                    used_s = cpu_s(worker) - cpu_before_s
                    done = count * steps_count
                    row = {
                        "steps": steps_count,
                        "round": number,
                        "steps_per_s": round(done / driven.wall_s, 1),
                        "worker_cpu_us_per_step": round(used_s * 1e6 / done, 2),
                    }
                    if number >= 0:
                        rows.append(row)
                        print(row, flush=True)
            traffic.close()
            installation.stop()
            _judge(installation, wanted)
    ratio = _ratio(rows, options.rounds)
    print(f"worker CPU a step, 100 steps / 3 steps: {ratio}")
    path = write_result(options.name, vars(options), rows, ratio_100_to_3=ratio)
    print(f"written to {path}")
    return int(ratio["median"] > RATIO_MAX)


def _ratio(rows: list[dict[str, Any]], rounds: int) -> dict[str, float]:
    cost_us = {(row["steps"], row["round"]): row["worker_cpu_us_per_step"] for row in rows}
    return spread(cost_us[100, number] / cost_us[3, number] for number in range(rounds)) or {}


def _judge(installation: Installation, wanted: dict[str, int]) -> None:
    name = participant_name(installation.run, TOUCHERS)
    found = rows_of(installation.ledgers, name, TOUCHED)
    wrong = {saga: found.get(saga, 0) for saga in wanted if found.get(saga, 0) != wanted[saga]}
    if wrong or found.keys() - wanted.keys():
        raise WrongEffects(f"steps done: {dict(list(wrong.items())[:10])}")


def _starts(saga: Saga[Asked, Any], batch: str, count: int) -> Iterator[tuple[str, Start[Any]]]:
    for number in range(count):
        saga_id = f"{batch}-{number}"
        yield saga_id, saga.given(Asked(saga_id, _NOTE))
