"""Logs: one JSON object a line, whoever speaks, and no floods."""

import io
import json
import logging

import pytest

from orchestrator.kafka.ear import LOGGER
from orchestrator.observability.log import Bounded, configure, get


@pytest.fixture
def lines():
    stream = io.StringIO()
    configure("info", stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    LOGGER.handlers, LOGGER.propagate = [logging.NullHandler()], True


def test_a_line_is_one_json_object_even_with_a_newline_in_it(lines):
    get(worker="saga-000").warning("stuck", saga='trip-1\n{"level": "info"}')

    [line] = lines()
    assert line["event"] == "stuck"
    assert line["worker"] == "saga-000"
    assert line["saga"] == 'trip-1\n{"level": "info"}'


def test_the_kafka_client_speaks_json_too_and_not_without_end(lines):
    for attempt in range(50):
        LOGGER.warning("FAIL [thrd:1] no answer, attempt %s", attempt)

    told = lines()
    assert {line["event"] for line in told} == {"kafka_client"}
    assert {line["reason"] for line in told} == {"FAIL"}
    assert len(told) == 5


def test_what_was_kept_back_is_counted(lines):
    clock = iter([0.0, *[1.0] * 7, 20.0])
    notes = Bounded(get(), lines_max=5, monotonic_s=lambda: next(clock))
    for _ in range(8):
        notes.error("dead_letter", "bad_id")

    kept_back = [line for line in lines() if line["event"] == "log_lines_kept_back"]
    assert [line["counts"] for line in kept_back] == [{"dead_letter/bad_id": 2}]
