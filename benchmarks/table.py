"""Tables of the results, as Markdown, for `docs/performance.md`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.plot import NAMES, load


def show(names: Sequence[str]) -> int:
    """Print the tables of results files. Raises NotFound if there is no such file."""
    for name in names:
        found = load(name)
        print(f"\n{name}, {found['when'][:10]}, {found['versions']['saga-orchestrator']}\n")
        if "summary" in found:
            _rows(_trips(found["summary"]))
            print()
            _rows(_ratios(found["summary"]))
        elif "levels" in found:
            _rows(_levels(found["levels"]))
        elif "profile" in found:
            _rows(_stages(found["profile"]))
    return 0


def _trips(summary: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield ("in flight", "subject", "sagas/s", "p50 ms", "p99 ms", "CPU ms a saga, by role")
    for row in sorted(summary["rows"], key=lambda each: each["in_flight"]):
        cpu_ms = row["cpu_ms_per_saga"].items()
        yield (
            f"{row['in_flight']:,}",
            NAMES[row["subject"]],
            _spread(row["throughput_per_s"], ",.0f"),
            _spread(row["latency_p50_ms"], ",.1f"),
            _spread(row["latency_p99_ms"], ",.1f"),
            ", ".join(f"{role} {found['median']:.3g}" for role, found in cpu_ms),
        )


def _ratios(summary: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield ("in flight", "engine to", "rounds", "rate", "undisturbed rounds", "p50", "p99")
    for row in sorted(summary["ratios"], key=lambda each: each["in_flight"]):
        names = ("rate", "rate_undisturbed", "p50", "p99")
        figures = (_spread(row[name], ".2f") if row[name] else "none" for name in names)
        yield (f"{row['in_flight']:,}", NAMES[row["to"]], str(row["rounds"]), *figures)


def _levels(levels: Iterable[dict[str, Any]]) -> Iterable[Sequence[str]]:
    yield ("waiting", "trips/s beside", "worker CPU us a trip", "MB", "starts/s", "woken/s")
    for level in levels:
        trips = level["trips"]
        yield (
            f"{level['waiting']:,}",
            _span([trip["throughput_per_s"] for trip in trips]),
            _span([trip["worker_cpu_us_per_saga"] for trip in trips]),
            f"{max(trip['worker_rss_mb'] for trip in trips):,.0f}",
            f"{level['starts_per_s']:,.0f}",
            f"{level['woken_per_s'] or 0:,.0f}",
        )


def _stages(profile: dict[str, Any]) -> Iterable[Sequence[str]]:
    yield ("process", "stage", "wall", "CPU")
    for role, found in profile.items():
        for stage, wall in found["wall_shares"].items():
            yield (role, stage, f"{wall:.1%}", f"{found['cpu_shares'][stage]:.1%}")


def _spread(found: dict[str, float], form: str) -> str:
    low, high = format(found["min"], form), format(found["max"], form)
    return f"{format(found['median'], form)} ({low} to {high})"


def _span(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2]:,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def _rows(rows: Iterable[Sequence[str]]) -> None:
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if not number:
            print(f"|{' --- |' * len(row)}")
