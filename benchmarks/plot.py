"""Pictures of the results: rate and p99 against sagas in flight; rate and memory against size."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chart import Line, Panel, Point, draw_panels
from benchmarks.figures import spread
from benchmarks.rounds import BARE, ENGINE, RESULTS
from orchestrator.errors import NotFound

PICTURES = Path(__file__).parent.parent / "docs" / "performance"
NAMES = {ENGINE: "saga", BARE: "bare loop", "restate-rpc": "Restate rpc"}
COLORS = {ENGINE: "#c2410c", BARE: "#525252", "restate-rpc": "#1d6fb8"}


def draw(names: Sequence[str]) -> int:
    """Draw results files, each to `docs/performance/<name>.svg`.

    Raises:
        NotFound: There is no such results file.
    """
    for name in names:
        found = load(name)
        picture = _sizes(found) if "levels" in found else _trips(found)
        PICTURES.mkdir(parents=True, exist_ok=True)
        target = PICTURES / f"{name}.svg"
        target.write_text(picture)
        print(f"drawn: {target}")
    return 0


def load(name: str) -> dict[str, Any]:
    """Read a results file. Raises NotFound if it is not there."""
    path = RESULTS / f"{name}.json"
    if not path.exists():
        raise NotFound("no_results", f"{path}: measure first, `python -m benchmarks {name}`")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _trips(found: dict[str, Any]) -> str:
    rows = found["summary"]["rows"]
    levels = tuple(sorted({row["in_flight"] for row in rows}))
    panels = [
        Panel(title, "sagas in flight", _lines(found, figure), levels)
        for title, figure in (
            ("Sagas a second (log)", "throughput_per_s"),
            ("p99, ms (log)", "latency_p99_ms"),
        )
    ]
    rounds = max(row["rounds"] for row in rows)
    note = f"median of {rounds} interleaved rounds, least to most as bands. {_where(found)}"
    return draw_panels(panels, "Three remote steps, 1 in 10 undone", note)


def _lines(found: dict[str, Any], figure: str) -> tuple[Line, ...]:
    used = {(r["subject"], r["in_flight"]): r.get("in_flight_used") for r in found["runs"]}
    lines = []
    for subject, name in NAMES.items():
        points: dict[float, Point] = {}
        for row in found["summary"]["rows"]:
            if row["subject"] == subject:
                level = used.get((subject, row["in_flight"])) or row["in_flight"]
                points.setdefault(level, _point(level, row[figure]))
        if points:
            line = Line(name, COLORS[subject], tuple(points.values()), subject == BARE)
            lines.append(line)
    return tuple(lines)


def _sizes(found: dict[str, Any]) -> str:
    levels = found["levels"]
    ticks = tuple(level["waiting"] for level in levels)
    color = COLORS[ENGINE]

    def line(name: str, values: list[Any]) -> Line:
        points = (_point(x, spread(ys) or {}) for x, ys in zip(ticks, values, strict=True))
        return Line(name, color, tuple(points))

    trips = [level["trips"] for level in levels]
    rates = line("trips", [[t["throughput_per_s"] for t in each] for each in trips])
    costs = line("CPU", [[t["worker_cpu_us_per_saga"] for t in each] for each in trips])
    memory = line("memory", [[t["worker_rss_mb"] for t in each] for each in trips])
    asleep = "sagas that wait"
    panels = [
        Panel("Trips a second beside them", asleep, (rates,), ticks, log_y=False),
        Panel("Worker CPU a trip, us", asleep, (costs,), ticks, log_y=False),
        Panel("Worker memory, MB", asleep, (memory,), ticks, log_y=False),
    ]
    return draw_panels(panels, "Cost against size", _where(found))


def _point(x: float, found: dict[str, float]) -> Point:
    return Point(x, found["median"], found["min"], found["max"])


def _where(found: dict[str, Any]) -> str:
    machine, version = found["machine"], found["versions"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores for broker, worker, participants and client; "
        f"Kafka {version['kafka']}, Python {machine['python']}, {found['when'][:10]}"
    )
