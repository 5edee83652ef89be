"""docs/records.md says what the schemas and tables say."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import StartSaga

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/records.md").read_text()


def _script():
    spec = importlib.util.spec_from_file_location("records_doc", ROOT / "scripts/records_doc.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_current():
    script = _script()
    mark, _, below = PAGE.partition(script.MARK)
    assert mark
    assert script.MARK + below == script.render(), "run scripts/records_doc.py"


def test_the_limits_are_those_of_the_code():
    assert f"{DEFAULT_LIMITS.value_bytes_max:,} bytes" in PAGE
    assert f"At most {DEFAULT_LIMITS.headers_count_max}" in PAGE


def test_the_json_example_is_a_command():
    (line,) = re.findall(r"echo '(.*)' \|", PAGE)
    key, _, value = line.partition("|")
    command = RecordCodec().decode_command(value.encode())
    assert isinstance(command, StartSaga)
    assert command.saga_id == key


def test_the_json_example_is_the_example_sagas_payload():
    contracts = pytest.importorskip("sagas.book_trip.contracts")
    (line,) = re.findall(r"echo '(.*)' \|", PAGE)
    command = RecordCodec().decode_command(line.partition("|")[2].encode())
    assert AvroPayloads().accept(command.payload, contracts.Trip)
