"""The interleaved rounds: engine, floor and peer on one broker, one after another, again and again.

A shared machine changes its speed from minute to minute. Only figures of the same round are
compared; what is shown is the median of those ratios and how far they lie apart.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import calibrate_ms, machine, spread, versions
from benchmarks.monitor import Others, await_quiet
from benchmarks.subjects import Load, run_bare, run_engine
from orchestrator.kafka.settings import KafkaSettings

ENGINE, BARE = "saga", "bare"
SCHEMA = "saga-bench/1"
RESULTS = Path(__file__).parent / "results"
SAGAS = {1: 200, 200: 6_000, 1_000: 20_000, 4_000: 24_000}
"""Sagas of a run by those in flight: some seconds each, and enough of them for a p99."""
WARM_UP_ONE = 300
"""One at a time the warm-up need not fill batches."""

Measure = Callable[[KafkaSettings, Load], dict[str, Any]]


OTHERS_SHARE_MAX = 0.15
"""Of the machine: a run beside which others took more counts as disturbed."""


def sagas_of(in_flight: int) -> int:
    """How many sagas a run has."""
    return SAGAS.get(in_flight, max(200, min(24_000, 20 * in_flight)))


def run_rounds(
    kafka: KafkaSettings, options: Namespace, peers: dict[str, Measure]
) -> list[dict[str, Any]]:
    """Measure every subject at every level, so many rounds. Gives one row a run."""
    subjects: dict[str, Measure] = {BARE: run_bare, ENGINE: run_engine, **peers}
    rows: list[dict[str, Any]] = []
    # A broker that has just started is compiled while it runs: whoever came first would pay.
    run_bare(kafka, Load(sagas=5_000, in_flight=1_000, replication=options.nodes))
    for number in range(options.rounds):
        for in_flight in options.in_flight:
            names = list(subjects)
            # Whoever comes second finds more to clean up; so each comes second as often.
            for name in names if number % 2 == 0 else reversed(names):
                row = _measure(kafka, options, subjects[name], in_flight)
                rows.append({"subject": name, "round": number, **row})
                _say(rows[-1])
        # A session that is broken off keeps its whole rounds.
        write_result(options.name, vars(options), rows, summary=summarise(rows))
    return rows


def _measure(
    kafka: KafkaSettings, options: Namespace, measure: Measure, in_flight: int
) -> dict[str, Any]:
    load = Load(
        sagas=options.sagas or sagas_of(in_flight),
        in_flight=in_flight,
        partitions=options.partitions,
        replication=options.nodes,
        workers=options.workers,
        **({"warm_up": WARM_UP_ONE} if in_flight == 1 else {}),
    )
    waited_s = await_quiet(options.patience)
    before_ms = calibrate_ms()
    with Others() as others:
        found = measure(kafka, load)
    noise = {
        "calibration_ms": [before_ms, calibrate_ms()],
        "waited_s": waited_s,
        "others_cpu_share": others.share,
    }
    return {**found, "noise": {**found.get("noise", {}), **noise}}


def _say(row: dict[str, Any]) -> None:
    latency_ms = row["latency_ms"]
    print(
        f"round {row['round'] + 1}  {row['subject']:<12} in flight {row['in_flight']:>5}"
        f"  {row['throughput_per_s']:>8,.0f} sagas/s  p50 {latency_ms['p50']:>8,.1f} ms"
        f"  p99 {latency_ms['p99']:>8,.1f} ms  (others {row['noise']['others_cpu_share']:.0%})",
        flush=True,
    )


def ratios(
    rows: Sequence[dict[str, Any]], other: str, in_flight: int, figure: Callable[..., float]
) -> list[float]:
    """Give engine / `other`, round by round, of one figure of a row."""
    found = {(row["subject"], row["round"]): row for row in rows if row["in_flight"] == in_flight}
    return [
        figure(row) / figure(found[other, number])
        for (subject, number), row in sorted(found.items())
        if subject == ENGINE and (other, number) in found
    ]


def rate(row: dict[str, Any]) -> float:
    """Sagas a second."""
    return float(row["throughput_per_s"])


def p50_ms(row: dict[str, Any]) -> float:
    """Median latency."""
    return float(row["latency_ms"]["p50"])


def p99_ms(row: dict[str, Any]) -> float:
    """Latency that one saga in a hundred exceeds."""
    return float(row["latency_ms"]["p99"])


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Sum rows up: by subject and level, and the engine's ratio to each other, round by round."""
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    levels = sorted({row["in_flight"] for row in rows})
    found: dict[str, Any] = {"rows": [], "ratios": []}
    quiet = [row for row in rows if _others_share(row) <= OTHERS_SHARE_MAX]
    for subject in subjects:
        for level in levels:
            chosen = [r for r in rows if (r["subject"], r["in_flight"]) == (subject, level)]
            if chosen:
                found["rows"].append(_sum_up(subject, level, chosen))
    for other in (name for name in subjects if name != ENGINE):
        for level in levels:
            shares = ratios(rows, other, level, rate)
            if shares:
                found["ratios"].append(
                    {
                        "to": other,
                        "in_flight": level,
                        "rounds": len(shares),
                        "rate": spread(shares),
                        "rate_undisturbed": spread(ratios(quiet, other, level, rate)),
                        "p50": spread(ratios(rows, other, level, p50_ms)),
                        "p99": spread(ratios(rows, other, level, p99_ms)),
                    }
                )
    return found


def _others_share(row: dict[str, Any]) -> float:
    return float(row.get("noise", {}).get("others_cpu_share", 0.0))


def _sum_up(subject: str, level: int, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    roles = rows[0].get("cpu_ms_per_saga", {})
    return {
        "subject": subject,
        "in_flight": level,
        "rounds": len(rows),
        "throughput_per_s": spread(map(rate, rows)),
        "steady_throughput_per_s": spread(row["steady_throughput_per_s"] for row in rows),
        **{
            f"latency_{name}_ms": spread(row["latency_ms"][name] for row in rows)
            for name in ("p50", "p95", "p99", "max")
        },
        "cpu_ms_per_saga": {
            role: spread(row["cpu_ms_per_saga"][role] for row in rows) for role in roles
        },
    }


def write_result(
    name: str, options: Mapping[str, object], rows: Sequence[dict[str, Any]], **more: object
) -> Path:
    """Write a session's results as JSON; gives the file."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    given = {key: value for key, value in options.items() if isinstance(value, int | str | list)}
    document = {
        "schema": SCHEMA,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": versions(),
        "machine": machine(),
        "config": given,
        **more,
        "runs": list(rows),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def tell(summary: dict[str, Any]) -> None:
    """Print a summary."""
    print("\nmedian (least to most) of the ratios, round by round")
    for row in summary["ratios"]:
        print(
            f"  engine / {row['to']:<12} in flight {row['in_flight']:>5}"
            f"  rate {_shown(row['rate'])}  p50 {_shown(row['p50'])}  p99 {_shown(row['p99'])}"
        )


def _shown(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} ({found['min']:.2f} to {found['max']:.2f})"
