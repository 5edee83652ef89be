"""The strict reader, case by case, and the writer's refusals."""

from __future__ import annotations

import pytest
from hostile import TABLE

from orchestrator.codec.binary import ITEMS_MAX, compile_schema
from orchestrator.codec.primitives import WRITE_ERRORS, Recurring
from orchestrator.errors import DecodeError

MAP = {"type": "map", "values": "long"}
ARRAY = {"type": "array", "items": "long"}
ENUM = {"type": "enum", "name": "E", "symbols": ["a"]}


@pytest.mark.parametrize(
    ("codec", "data", "reason"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE]
)
def test_what_is_refused(codec, data, reason):
    with pytest.raises(DecodeError) as caught:
        codec.decode(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("schema", "data", "value"),
    [
        ("long", b"\x01", -1),
        ("boolean", b"\x00", False),
        ("boolean", b"\x01", True),
        ("long", b"\xff" * 9 + b"\x01", -(2**63)),
        ("long", b"\xfe" + b"\xff" * 8 + b"\x01", 2**63 - 1),
        ("int", b"\xff\xff\xff\xff\x0f", -(2**31)),
        # Legal in Avro, though we never write them: several blocks, and blocks with their size.
        (ARRAY, b"\x02\x02\x03\x04\x04\x06\x00", (1, 2, 3)),
        (MAP, b"\x01\x06\x02a\x02\x00", {"a": 1}),
        (MAP, b"\x00", {}),
        (ENUM, b"\x00", "a"),
    ],
)
def test_what_is_read(schema, data, value):
    codec = compile_schema(schema)
    assert codec.decode(data) == value
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("null", 0),
        ("boolean", 1),
        ("boolean", "yes"),
        ("int", 2**31),
        ("long", 2**63),
        ("long", "1"),
        ("double", float("inf")),
        ("double", "1"),
        ("bytes", "x"),
        ("string", b"x"),
        ("string", "\ud800"),
        (ENUM, "b"),
        (ARRAY, [1]),
        (ARRAY, (0,) * (ITEMS_MAX + 1)),
        (MAP, [1]),
        (MAP, dict.fromkeys(map(str, range(ITEMS_MAX + 1)), 0)),
        (["null", "long", "string"], b"x"),
        ({"type": "record", "name": "R", "fields": []}, (1,)),
    ],
)
def test_values_of_another_type_are_not_written(schema, value):
    with pytest.raises(WRITE_ERRORS):
        compile_schema(schema).encode(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (["null", "long", "string"], "x"),
        (["null", "long", "string"], 5),
        (["null", "long", "string"], None),
        (["string", "null"], None),
        (["null", MAP], {"a": 1}),
        (["null", ARRAY], (1,)),
        (["null", {"type": "boolean"}], True),
        (["null", ENUM], "a"),
        ({"type": "long"}, 5),
    ],
)
def test_unions(schema, value):
    codec = compile_schema(schema)
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("schema", ["float", 5, {"type": "array", "items": "Unknown"}])
def test_types_that_are_not_used(schema):
    with pytest.raises(ValueError, match=r"is not used here|is no schema"):
        compile_schema(schema)


def test_equal_maps_give_equal_bytes():
    codec = compile_schema(MAP)
    assert codec.encode({"a": 1, "b": 2}) == codec.encode({"b": 2, "a": 1})


class Counted(bytes):
    """Bytes that count how often one of them is looked at."""

    looks_count = 0

    def __getitem__(self, at):
        self.looks_count += 1
        return super().__getitem__(at)


def test_a_number_without_end_is_given_up_after_ten_bytes():
    # Without a limit a megabyte of it would cost minutes: the number grows with each byte.
    data = Counted(b"\xff" * 1_000_000)
    with pytest.raises(DecodeError, match="more than 64 bits"):
        compile_schema("long").decode(data)
    assert data.looks_count <= 12


def test_a_float_is_no_number_even_if_the_same_number_was_written_before():
    record = {"type": "record", "name": "R", "fields": [{"name": "x", "type": "long"}]}
    for codec, one, other in (
        (compile_schema("long"), 5_000, 5_000.0),
        (compile_schema(record), (5_000,), (5_000.0,)),
    ):
        codec.encode(one)
        with pytest.raises(WRITE_ERRORS):
            codec.encode(other)


def test_what_recurs_is_remembered_within_bounds():
    made = []

    def encode(value):
        made.append(value)
        return value.encode()

    recurring = Recurring(encode, count_max=2)
    long = 1_000 * "x"
    for value in ("a", "a", "b", long, long, "c", "c"):
        assert (recurring.known(value) or recurring.new(value)) == value.encode()

    assert made == ["a", "b", long, long, "c"]
    assert recurring.known("a") is None  # there was room for two
