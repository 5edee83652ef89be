"""Files of starts: every bad line is named, and a blank cell is its field's default."""

from __future__ import annotations

import json
from enum import StrEnum

import pytest

from orchestrator import Payload
from orchestrator.cli.dev import sample
from orchestrator.cli.starting import BadLine, Row, checked, rows
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.errors import CommandRejected


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(Payload):
    name: str


class Wanted(Payload):
    item: str
    colour: Colour
    inner: Inner
    many: tuple[Inner, ...]
    prices: dict[str, int]
    data: bytes
    ratio: float
    note: str | None
    count: int = 3
    sure: bool = True


class Line(Payload):
    item: str
    count: int = 3
    text: str = "none"
    note: str | None = None


def read(text, *, csv_file=False):
    return list(rows(text, csv_file=csv_file, id_field="saga"))


def test_every_bad_line_is_told():
    found = read('{"saga": "a", "item": "x"}\n{\n[1]\n\n{"item": "y"}\n')

    assert found[0] == Row(1, "a", {"item": "x"})
    assert [(one.line, one.reason) for one in found[1:]] == [(n, "bad_line") for n in (2, 3, 5)]
    assert all(isinstance(one, BadLine) for one in found[1:])


def test_a_csv_with_too_few_columns():
    found = read("saga,item\na,x\nb\nc,z\n", csv_file=True)

    assert [type(one) for one in found] == [Row, BadLine, Row]


def test_a_blank_cell_is_the_default():
    payloads = AvroPayloads()
    convert = checked(payloads, Line, csv_file=True)
    data = convert({"item": "lamp", "count": "", "text": "", "note": ""})

    assert payloads.to_json(data, Line) == {
        "item": "lamp",
        "count": 3,
        "text": "none",
        "note": None,
    }


def test_a_blank_cell_without_a_default_is_what_it_says():
    payloads = AvroPayloads()
    convert = checked(payloads, Line, csv_file=True)

    assert payloads.to_json(convert({"item": ""}), Line)["item"] == ""


def test_blank_is_no_default_in_json():
    with pytest.raises(CommandRejected):
        checked(AvroPayloads(), Line, csv_file=False)({"item": "lamp", "count": ""})


def test_the_sample_of_a_payload_is_one():
    payloads = AvroPayloads()
    made = sample(Wanted)
    data = payloads.accept(json.dumps(made).encode(), Wanted)

    assert made["colour"] == "red"
    assert "count" not in made
    assert payloads.to_json(data, Wanted)["count"] == 3
