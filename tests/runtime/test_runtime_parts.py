"""The small parts of the runtime: crash points, settings, catalog, assignments, logs, counters."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.kafka.base import TopicPartition
from orchestrator.observability import log
from orchestrator.observability.counters import Counters
from orchestrator.runtime import crash_points
from orchestrator.runtime.catalog import Catalog
from orchestrator.runtime.crash_points import CrashPoint, CrashReached
from orchestrator.runtime.rebalance import shards_of
from orchestrator.runtime.settings import WorkerSettings, instance_id


@pytest.fixture
def armed():
    yield crash_points.arm
    crash_points.arm("")


def test_a_crash_point_strikes_at_its_nth_reach_only(armed):
    armed("C03:2:raise")
    crash_points.reach(CrashPoint.C03)
    crash_points.reach(CrashPoint.C04)
    with pytest.raises(CrashReached, match="C03"):
        crash_points.reach(CrashPoint.C03)
    crash_points.reach(CrashPoint.C03)


@pytest.mark.parametrize("text", ["C99", "C01:maybe", "3"])
def test_a_misspelled_crash_point_is_refused(armed, text):
    with pytest.raises(ConfigurationError, match="C01"):
        armed(text)


@pytest.mark.parametrize(
    ("point", "by"), [("C01", signal.SIGKILL), ("C08", signal.SIGALRM), ("C10", signal.SIGALRM)]
)
def test_a_crash_kills_also_from_within_a_call(point, by):
    code = (
        "import os, time\n"
        "from orchestrator.runtime import crash_points as c\n"
        "c.arm_from(os.environ)\n"
        f"c.reach(c.CrashPoint.{point})\n"
        "time.sleep(30)\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], env={"ORCHESTRATOR_CRASH": point}, check=False, timeout=20
    )
    assert child.returncode == -by


def test_instances_sort_as_they_are_numbered():
    ids = [instance_id("saga", ordinal) for ordinal in (2, 10, 1)]
    assert sorted(ids) == ["saga-001", "saga-002", "saga-010"]


def test_a_group_that_is_no_id_is_refused():
    with pytest.raises(ConfigurationError, match="group"):
        WorkerSettings(group="no spaces")


def test_an_assignment_gives_the_shards_that_it_has_of_every_topic():
    pairs = [TopicPartition(t, p) for t in ("a", "b") for p in (3, 1)]
    assert shards_of(pairs, ("a", "b"), 4) == (1, 3)
    assert shards_of((), ("a", "b"), 4) == ()


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", 0), ("b", 1)],
        [("a", 0), ("b", 0), ("b", 1)],
        [("a", 0)],
        [("a", 0), ("b", 0), ("stranger", 0)],
    ],
)
def test_an_assignment_that_is_not_the_same_for_all_topics_is_refused(pairs):
    with pytest.raises(ConfigurationError, match="different partitions"):
        shards_of([TopicPartition(*pair) for pair in pairs], ("a", "b"), 4)


def test_a_partition_beyond_the_pinned_count_is_refused():
    with pytest.raises(ConfigurationError, match="fixed"):
        shards_of([TopicPartition("a", 4)], ("a",), 4)


def test_an_empty_catalog_says_so():
    assert Catalog(()).unknown("x", 0) == ("unknown_definition", "no saga 'x'; known: none")


def test_log_lines_are_bounded_by_reason_and_say_what_they_kept_back():
    stream, now = io.StringIO(), [0.0]
    log.configure("info", stream)
    bounded = log.Bounded(log.get(worker="w"), lines_max=2, monotonic_s=lambda: now[0])
    for _ in range(5):
        bounded.warning("dead_letter", "missing_key", saga="s")
    bounded.error("dead_letter", "other")
    now[0] = 11.0
    bounded.warning("dead_letter", "missing_key")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "dead_letter",
        "dead_letter",
        "dead_letter",
        "log_lines_kept_back",
        "dead_letter",
    ]
    assert lines[3]["counts"] == {"dead_letter/missing_key": 3}
    assert lines[0] | {"time": ""} == {
        "worker": "w",
        "reason": "missing_key",
        "saga": "s",
        "event": "dead_letter",
        "level": "warning",
        "time": "",
    }


def test_counters_show_what_is_not_zero():
    counters = Counters(inputs_count=3)
    counters.dead_letters["poison"] += 1
    assert counters.values() == {"inputs_count": 3, "dead_letters": {"poison": 1}}
