"""Any bytes give a value or a DecodeError. In a child process: a crash fails the test, not the runner."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.codec import lint
from orchestrator.codec.avro import Schema, engine_schemas
from orchestrator.codec.refusals import REFUSALS
from orchestrator.errors import ConfigurationError

HERE = Path(__file__).parent
CASES = int(os.environ.get("SAGA_FUZZ_CASES", "20000"))
SEED = int(os.environ.get("SAGA_FUZZ_SEED", "1"))


def child(*argv, timeout_s=120):
    return subprocess.run(
        [sys.executable, *argv], cwd=HERE, capture_output=True, text=True, timeout=timeout_s,
        check=False,
    )  # fmt: skip


def test_hostile_bytes_give_a_value_or_a_refusal():
    done = child("hostile.py", str(CASES), str(SEED))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["reasons"]) - {"value"} <= set(REFUSALS)
    # The damage must reach deep, or it proves nothing.
    assert {
        "value", "malformed_record", "trailing_bytes", "out_of_range", "bad_id", "unknown_event",
        "unknown_schema", "unknown_format", "too_many_items", "malformed_json", "unknown_command",
    } <= set(found["reasons"])  # fmt: skip
    assert found["grown_kb"] < 64 * 1024


def test_a_crash_in_the_child_would_be_seen():
    # What the strict reader protects from: fastavro on a recursive schema, ten thousand deep.
    script = (
        "import io, resource, fastavro;"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0));"
        "fastavro.schemaless_reader(io.BytesIO(b'\\x02' * 1_000_000 + b'\\x00'), fastavro.parse_schema("
        "{'type': 'record', 'name': 'R', 'fields': [{'name': 'r', 'type': ['null', 'R']}]}), None)"
    )
    done = child("-c", script)
    assert done.returncode == -signal.SIGSEGV


RECURSIVE = {
    "type": "record",
    "name": "R",
    "fields": [{"name": "again", "type": ["null", "R"]}],
}


def _deep(levels):
    schema = "long"
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (RECURSIVE, "again is recursive"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "R"}}]}, "recursive"),
        ({"type": "array", "items": "null"}, "items that take no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "E", "fields": []}}, "no bytes"),
        ({"type": "array", "items": {"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]}}, "no bytes"),
        (_deep(40), "nested deeper than 32"),
        ({"type": "long", "logicalType": "timestamp-millis"}, "a logical or a fixed type"),
        ({"type": "fixed", "name": "F", "size": 4}, "a logical or a fixed type"),
        ("float", "the type float"),
        ({"type": "record", "name": "R", "fields": [{"name": "x", "type": "float"}]}, "x has the type float"),
    ],
)  # fmt: skip
def test_the_lint_refuses_schemas_that_could_run_away(schema, text):
    with pytest.raises(ConfigurationError, match=text):
        Schema(schema)


@pytest.mark.parametrize(
    "schema",
    ["nonsense", {"type": "record"}, {"name": "x"}, None, 5, [], {"type": "array"}, _deep(5_000)],
)
def test_what_is_no_schema_is_a_configuration_error(schema):
    with pytest.raises(ConfigurationError):
        Schema(schema)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "map", "values": "null"}, {"a": None}),
        ({"type": "array", "items": ["null", "long"]}, (None, 5)),
        ({"type": "array", "items": {"type": "enum", "name": "E", "symbols": ["a"]}}, ("a",)),
        ({"type": "string"}, "x"),
    ],
)
def test_items_that_take_a_byte_are_allowed(schema, value):
    codec = Schema(schema).codec
    assert codec.decode(codec.encode(value)) == value


def test_our_own_schemas_pass_the_lint():
    for schema in engine_schemas().values():
        assert lint.problems(schema.parsed) == ()
