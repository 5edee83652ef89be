from __future__ import annotations

import ast
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import workload
from benchmarks.chart import Line, Panel, Point, draw_panels
from benchmarks.figures import percentiles_ms, spread, steady_rate
from benchmarks.flame import busy, draw_flame, parse_stacks, self_shares, total_shares
from benchmarks.rounds import rate, ratios, summarise
from benchmarks.stages import OTHER, PARTICIPANT_STAGES, WORKER_STAGES, stage_shares
from benchmarks.trip import Confirmed, Trip, flight, on_reserve_flight, trip
from benchmarks.verdict import compare
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.participant import Transaction


def test_one_trip_in_ten_fails_evenly_spread():
    assert sum(map(workload.fails, range(1_000))) == 100
    assert all(sum(map(workload.fails, range(n, n + 10))) == 1 for n in range(0, 1_000, 10))


def test_the_payloads_have_the_size_of_the_workload():
    payloads = AvroPayloads()
    asked = workload.payload("trip", 1_234)
    assert 315 <= len(payloads.encode(asked, Trip)) <= 345
    given = _run_first_step(asked)
    assert 85 <= len(payloads.encode(given, Confirmed)) <= 115


def _run_first_step(asked):
    return on_reserve_flight(flight.command(asked), Transaction.in_memory())


def test_the_saga_has_no_mistakes():
    assert trip.build().name == "trip"


WANTED = [("a-0", ("flight", "hotel"))]


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ({"a-0/flight": 2, "a-0/hotel": 1}, "duplicates"),
        ({"a-0/flight": 1}, "missing"),
        ({"a-0/flight": 1, "a-0/hotel": 1, "a-0/card": 1}, "unexpected"),
        ({"a-0/flight": 1, "a-0/hotel": 1, "b-0/flight": 1}, "unexpected"),
    ],
)
def test_a_wrong_effect_is_found(found, kind):
    effects = compare(found, WANTED)
    assert not effects.clean
    assert effects.figures()[f"{kind}_total"] == 1


def test_right_effects_are_clean():
    effects = compare({"a-0/flight": 1, "a-0/hotel": 1}, WANTED)
    assert effects.clean
    assert effects.executed == {"flight": 1, "hotel": 1}


def test_figures():
    found = percentiles_ms([n / 1_000 for n in range(1, 101)])
    assert (found["p50"], found["p99"], found["max"]) == (51, 100, 100)
    assert percentiles_ms([]) == {}
    assert steady_rate([n / 10 for n in range(100)]) == pytest.approx(10)
    assert steady_rate([1.0]) is None
    assert spread([3, None, 1, 2]) == {"median": 2, "min": 1, "max": 3}
    assert spread([None]) is None


def row(subject, number, per_s, in_flight=1_000):
    return {
        "subject": subject,
        "round": number,
        "in_flight": in_flight,
        "throughput_per_s": per_s,
        "steady_throughput_per_s": per_s,
        "latency_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0, "max": 4.0},
    }


def test_shares_are_taken_within_a_round():
    rows = [row("bare", 0, 4_000), row("saga", 0, 2_000), row("saga", 1, 500), row("bare", 1, 500)]
    assert ratios(rows, "bare", 1_000, rate) == [0.5, 1.0]
    (found,) = summarise(rows)["ratios"]
    assert found["rate"] == {"median": 0.75, "min": 0.5, "max": 1.0}


STACKS = """\
main (x.py:3);run_worker (orchestrator/runtime/main.py:1);KafkaSource.poll_batch (a.py:7) 3
main (x.py:4);run_worker (orchestrator/runtime/main.py:1);0x7f00 (libc.so.6);malloc (libc.so.6) 1
main (x.py:4);run_worker (orchestrator/runtime/main.py:1);pthread_cond_wait (libc.so.6) 4
"""


def frames():
    """How samples name the functions and methods of our code."""
    root = Path(__file__).parents[2]
    for folder in ("orchestrator", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            place = f" ({path.relative_to(root)})"
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef):
                    yield node.name + place
                elif isinstance(node, ast.ClassDef):
                    methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                    yield from (f"{node.name}.{method.name}{place}" for method in methods)


def test_each_mark_of_a_stage_is_of_some_function():
    ours = list(frames())
    stages = [*WORKER_STAGES, *PARTICIPANT_STAGES]
    marks = {mark for stage in stages for mark in stage.marks} - {"Future.result"}
    assert not {mark for mark in marks if not any(mark in frame for frame in ours)}


def test_stacks_are_read_and_sorted_into_stages():
    stacks = parse_stacks(STACKS)
    assert stacks.total() == 8
    working = busy(stacks)
    assert working.total() == 4
    shares = stage_shares(working, WORKER_STAGES)
    assert (shares["drain"], shares[OTHER]) == (0.75, 0.25)
    assert next(iter(self_shares(working, 1))) == "KafkaSource.poll_batch (a.py)"
    assert total_shares(working)["main (x.py)"] == 1


def test_a_flame_graph_is_a_picture():
    picture = ET.fromstring(draw_flame(busy(parse_stacks(STACKS)), "<title>"))
    assert [t.text for t in picture.iter("{http://www.w3.org/2000/svg}title")] == [
        "run_worker (orchestrator/runtime/main.py): 100.0%",
        "KafkaSource.poll_batch (a.py): 75.0%",
        "malloc (libc.so.6): 25.0%",
    ]


@pytest.mark.parametrize("log_y", [True, False])
def test_a_chart_is_a_picture(log_y):
    points = (Point(1, 30, 20, 40), Point(1_000, 2_000, 1_800, 2_300))
    lines = (Line("saga", "#000", points), Line("bare", "#111", points, dashed=True))
    panel = Panel("rate", "in flight", lines, (1, 1_000), log_y=log_y)
    picture = ET.fromstring(draw_panels([panel, panel], "a & b", "note"))
    tags = Counter(each.tag.rpartition("}")[2] for each in picture.iter())
    assert tags["polyline"] == 4
    assert tags["circle"] == 8
