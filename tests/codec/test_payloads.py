"""Payloads by type: schema, bytes, JSON, and the errors that name the field."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from enum import StrEnum

import fastavro
import pytest

from orchestrator.codec.derive import schema_of
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.errors import DecodeError, DefinitionError, MalformedPayload


class Cabin(StrEnum):
    ECONOMY = "economy"
    FIRST = "first"


@dataclass(frozen=True)
class Empty:
    pass


@dataclass(frozen=True)
class One:
    only: str


@dataclass(frozen=True)
class Guest:
    """Somebody who travels."""

    name: str
    age: int = 30


@dataclass(frozen=True)
class Trip:
    guest: Guest
    others: tuple[Guest, ...]
    cabin: Cabin
    price_cents: int
    weight: float
    paid: bool
    ticket: bytes
    notes: dict[str, str]
    hotel: str | None
    tags: tuple[str, ...] = ("a", "b")
    friend: Guest | None = None
    seat: str | None = "1A"
    second: Cabin = Cabin.FIRST
    token: bytes = b"\xff\x00"
    extra: dict[str, int] = field(default_factory=lambda: {"x": 1})
    lead: Guest = Guest("Eve")


TRIP = Trip(
    Guest("Ann é"), (Guest("Bob", 7), Guest("Cid", -1)), Cabin.FIRST, 2**62, 12.5, True,
    b"\x00\xff", {"b": "2", "a": "1"}, None, friend=Guest("Dan"),
)  # fmt: skip


@pytest.fixture(scope="module")
def payloads():
    return AvroPayloads([Trip])


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (TRIP, Trip),
        (Empty(), Empty),
        (One("x"), One),
        (True, bool),
        (7, int),
        ("x", str),
        ("sixteen letters.", str),
        (1.5, float),
        (b"x", bytes),
        ((Guest("Ann"), Guest("Bob")), tuple[Guest, ...]),
        ((), tuple[int, ...]),
        ({"k": Guest("Ann")}, dict[str, Guest]),
        (Cabin.FIRST, Cabin),
        (None, str | None),
        ("x", str | None),
    ],
)
def test_round_trip(payloads, value, kind):
    data = payloads.encode(value, kind)
    assert payloads.decode(data, kind) == value
    assert payloads.accept(data, kind) == data


def test_true_is_the_cores_true(payloads):
    assert payloads.encode(True, bool) == b"\x01"


def test_fastavro_reads_the_same_value_from_the_same_schema(payloads):
    data = payloads.encode(TRIP, Trip)
    read = fastavro.schemaless_reader(io.BytesIO(data[10:]), schema_of(Trip), None)
    assert read["guest"] == {"name": "Ann é", "age": 30}
    assert read["cabin"] == "first"
    assert read["notes"] == {"a": "1", "b": "2"}
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema_of(Trip), {**read, "notes": {"a": "1", "b": "2"}})
    assert out.getvalue() == data[10:]


def test_defaults_are_in_the_schema_so_that_older_bytes_can_be_read():
    fields = {f["name"]: f for f in schema_of(Trip)["fields"]}
    assert fields["tags"]["default"] == ["a", "b"]
    assert fields["friend"] == {"name": "friend", "type": ["null", "Guest"], "default": None}
    assert fields["seat"] == {"name": "seat", "type": ["string", "null"], "default": "1A"}
    assert fields["second"]["default"] == "first"
    assert fields["token"]["default"] == "ÿ\x00"
    assert fields["extra"]["default"] == {"x": 1}
    assert fields["lead"]["default"] == {"name": "Eve", "age": 30}
    assert "default" not in fields["hotel"]
    assert schema_of(Guest)["doc"] == "Somebody who travels."
    assert "doc" not in schema_of(One)


def test_json_is_accepted_as_the_same_payload(payloads):
    data = payloads.encode(TRIP, Trip)
    plain = payloads.to_json(data, Trip)
    assert plain["ticket"] == "AP8="
    assert payloads.accept(json.dumps(plain).encode(), Trip) == data
    del plain["tags"]
    assert payloads.accept(json.dumps(plain).encode(), Trip) == data


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"guest": {"name": 5}}, "guest.name: a text is wanted, not 5"),
        ({"guest": {}}, "guest.name: is missing"),
        ({"guest": None}, "guest: an object is wanted"),
        ({"others": [{"name": "x", "age": "y"}]}, "others.0.age: an integer is wanted"),
        ({"others": {}}, "others: an array is wanted"),
        ({"cabin": "deck"}, "cabin: one of economy, first is wanted"),
        ({"cabin": []}, "cabin: one of economy, first is wanted"),
        ({"price_cents": 2**63}, "price_cents: 9223372036854775808 does not fit 64 bits"),
        ({"price_cents": True}, "price_cents: an integer is wanted"),
        ({"paid": 1}, "paid: true or false is wanted"),
        ({"weight": "1"}, "weight: a number is wanted"),
        ({"ticket": "?"}, "ticket: base64 text is wanted"),
        ({"ticket": 5}, "ticket: base64 text is wanted"),
        ({"notes": {"a": 1}}, "notes.a: a text is wanted"),
        ({"notes": []}, "notes: an object is wanted"),
        ({"surprise": 1}, "the payload: Trip has no ['surprise']"),
    ],
)
def test_wrong_json_names_the_field(payloads, change, text):
    plain = payloads.to_json(payloads.encode(TRIP, Trip), Trip) | change
    with pytest.raises(MalformedPayload) as caught:
        payloads.accept(json.dumps(plain).encode(), Trip)
    assert caught.value.reason == "malformed_payload"
    assert text in caught.value.text


def _with(**change):
    return Trip(**{**{n: getattr(TRIP, n) for n in TRIP.__dataclass_fields__}, **change})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (_with(guest="Ann"), "guest: a Guest is wanted"),
        (_with(guest=Guest(5)), "guest.name: a text is wanted"),
        (_with(others="ab"), "others: a tuple is wanted"),
        (_with(others=[Guest("x")]), "others: a tuple is wanted"),
        (_with(price_cents=1.0), "price_cents: an integer is wanted"),
        (_with(price_cents=2**63), "does not fit 64 bits"),
        (_with(weight=float("nan")), "weight: a number is wanted"),
        (_with(weight="x"), "weight: a number is wanted"),
        (_with(paid="yes"), "paid: true or false is wanted"),
        (_with(ticket="x"), "ticket: bytes is wanted"),
        (_with(notes={1: "x"}), "notes: a dict with texts as keys is wanted"),
        (_with(notes=[]), "notes: a dict with texts as keys is wanted"),
        (_with(cabin="deck"), "cabin: one of economy, first"),
        (_with(hotel="\ud800"), "hotel: holds half a character"),
        (5, "the payload: a Trip is wanted, not 5"),
    ],
)
def test_a_wrong_value_names_the_field(payloads, value, text):
    with pytest.raises(MalformedPayload) as caught:
        payloads.encode(value, Trip)
    assert text in caught.value.text


def test_more_items_than_can_be_read_are_not_written(payloads):
    with pytest.raises(MalformedPayload, match="65537 items"):
        payloads.encode((0,) * 65_537, tuple[int, ...])


def test_a_subclass_is_not_cut_down_silently(payloads):
    @dataclass(frozen=True)
    class More(Guest):
        shoe: int = 1

    with pytest.raises(MalformedPayload, match="a Guest is wanted"):
        payloads.encode(More("Ann"), Guest)


@dataclass(frozen=True)
class Positive:
    amount: int

    def __post_init__(self):
        if self.amount < 0:
            raise ValueError("negative")


def test_a_payloads_own_check_is_a_refusal(payloads):
    assert payloads.decode(payloads.encode(Positive(1), Positive), Positive) == Positive(1)
    bad = payloads.encode(Positive(1), Positive)[:-1] + b"\x01"
    for data in (bad, b'{"amount": -1}'):
        with pytest.raises(MalformedPayload, match="Positive refuses it: negative"):
            payloads.accept(data, Positive)


def test_bytes_of_another_class_are_refused(payloads):
    with pytest.raises(DecodeError) as caught:
        payloads.decode(payloads.encode(One("x"), One), Guest)
    assert caught.value.reason == "unknown_schema"


def test_two_classes_of_the_same_name_and_fields_do_not_disturb_each_other(payloads):
    first, second = (dataclass(frozen=True)(type("Done", (), {})) for _ in range(2))
    data = payloads.encode(first(), first)
    assert type(payloads.decode(data, second)) is second
    assert type(payloads.decode(data, first)) is first


@dataclass(frozen=True)
class Loop:
    again: tuple[Loop, ...]


class Spaced(StrEnum):
    A = "not a name"


class Nothing(StrEnum):
    pass


def _namesake():
    @dataclass(frozen=True)
    class Guest:
        x: int

    return Guest


@dataclass(frozen=True)
class Clash:
    pass


Clash.__annotations__ = {"a": Guest, "b": _namesake()}
Clash = dataclass(frozen=True)(
    type("Clash", (), {"__annotations__": {"a": Guest, "b": _namesake()}})
)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Loop, "within itself"),
        (Spaced, "must be Avro names"),
        (Nothing, "must be Avro names"),
        (Clash, "two classes have this name"),
        (list[int], "cannot travel"),
        (tuple[int, str], "cannot travel"),
        (dict[int, str], "cannot travel"),
        (int | str, "a union may only be"),
        (int | str | None, "a union may only be"),
        (object, "cannot travel"),
        (tuple[Guest], "cannot travel"),
    ],
)
def test_what_cannot_travel_is_said_when_built(kind, text):
    with pytest.raises(DefinitionError, match=text):
        AvroPayloads([kind])


def test_a_list_of_nothings_is_refused_when_built():
    with pytest.raises(DefinitionError, match="take no bytes"):
        AvroPayloads([tuple[Empty, ...]])
