"""Schemas as files: written, locked, compared with the code, and never made unreadable."""

from __future__ import annotations

import json
from dataclasses import make_dataclass
from enum import StrEnum
from pathlib import Path

import pytest

from orchestrator.codec import compatibility, files
from orchestrator.codec.avro import Schema, engine_schemas
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.errors import ConfigurationError, DecodeError, DefinitionError

ROOT = Path(__file__).parents[2]


def payload(name, *fields):
    return make_dataclass(name, fields, frozen=True)


GUEST = payload("Guest", ("name", str))
PAIR = payload("Pair", ("first", GUEST), ("second", GUEST))
TRIP_1 = payload("Trip", ("guest", GUEST), ("city", str))
TRIP_2 = payload("Trip", ("guest", GUEST), ("city", str), ("nights", int, 1))
TRIP_3 = payload("Trip", ("guest", GUEST), ("city", str), ("nights", int))


def test_the_engines_schemas_are_locked_and_shown_at_the_top():
    home = ROOT / "orchestrator/codec/schemas"
    shown = ROOT / "schemas/records"
    assert {schema.short_name for schema in files.read(home)} == set(engine_schemas())
    assert [(p.name, p.read_bytes()) for p in sorted(shown.iterdir())] == [
        (p.name, p.read_bytes()) for p in sorted(home.iterdir())
    ]


def test_write_then_check(tmp_path):
    where = tmp_path / "payloads"
    assert [str(p) for p in files.check([GUEST, TRIP_1], where)] == [
        f"Guest: has no file {where}/Guest.avsc. {files._CURE}",
        f"Trip: has no file {where}/Trip.avsc. {files._CURE}",
    ]
    # Only payloads have files; a payload that is met twice has one.
    assert files.write([GUEST, TRIP_1, TRIP_1, bool], where) == (
        ("Guest.avsc", "Trip.avsc"), (), (),
    )  # fmt: skip
    assert files.check([GUEST, TRIP_1], where) == ()
    assert files.write([GUEST, TRIP_1], where) == ((), ("Guest.avsc", "Trip.avsc"), ())
    assert (where / files.LOCK).read_text().count("\n") == 3


def test_a_new_version_keeps_the_old_one_and_reads_what_it_wrote(tmp_path):
    files.write([TRIP_1], tmp_path)
    old = AvroPayloads([TRIP_1]).encode(TRIP_1(GUEST("Ann"), "Rome"), TRIP_1)
    assert "differs" in str(files.check([TRIP_2], tmp_path)[0])
    report = files.write([TRIP_2], tmp_path)
    fingerprint = old[2:10].hex()
    assert report.retired == (f"Trip.{fingerprint}.avsc",)
    assert files.check([TRIP_2], tmp_path) == ()
    payloads = AvroPayloads([TRIP_2], older=files.read(tmp_path))
    assert payloads.decode(old, TRIP_2) == TRIP_2(GUEST("Ann"), "Rome", 1)
    assert payloads.accept(old, TRIP_2) == payloads.encode(TRIP_2(GUEST("Ann"), "Rome"), TRIP_2)
    for damaged in (old + b"x", old[:-1]):
        with pytest.raises(DecodeError):
            payloads.decode(damaged, TRIP_2)


def test_a_version_that_cannot_read_older_data_is_refused(tmp_path):
    files.write([TRIP_1], tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DefinitionError, match="nights is new and has no default"):
        files.write([TRIP_3], tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert any("no default" in str(problem) for problem in files.check([TRIP_3], tmp_path))


def test_resolution_that_fails_is_a_refusal():
    old = AvroPayloads([TRIP_1]).encode(TRIP_1(GUEST("Ann"), "Rome"), TRIP_1)
    payloads = AvroPayloads([TRIP_3], older=[Schema(json.loads(_document(TRIP_1)))])
    with pytest.raises(DecodeError) as caught:
        payloads.decode(old, TRIP_3)
    assert caught.value.reason == "wrong_record"


def _document(kind):
    from orchestrator.codec.derive import schema_of  # noqa: PLC0415

    return json.dumps(schema_of(kind))


def test_only_a_default_or_a_doc_changed(tmp_path):
    files.write([TRIP_2], tmp_path)
    again = payload("Trip", ("guest", GUEST), ("city", str), ("nights", int, 2))
    assert "differs" in str(files.check([again], tmp_path)[0])
    assert files.write([again], tmp_path) == (("Trip.avsc",), (), ())


def test_two_payloads_of_one_name(tmp_path):
    with pytest.raises(DefinitionError, match="two payloads have this name"):
        files.write([TRIP_1, TRIP_2], tmp_path)


def test_types_that_cannot_travel_are_problems(tmp_path):
    assert "cannot travel" in str(files.check([list], tmp_path)[0])


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda d: (d / "Trip.avsc").unlink(), "Trip.avsc is missing"),
        (lambda d: (d / "Trip.avsc").write_text('"long"'), "Trip.avsc is"),
        (lambda d: (d / "New.avsc").write_text('"long"'), "the lock has none"),
        (lambda d: (d / "Trip.avsc").write_text("{"), "is no JSON"),
        (lambda d: (d / "Trip.avsc").write_text('{"type": "x"}'), "not an Avro schema"),
        (lambda d: (d / files.LOCK).unlink(), "the lock has none"),
        (lambda d: (d / files.LOCK).write_text("<<<<<<< HEAD\n"), "HEAD is missing"),
    ],
)
def test_files_that_were_tampered_with(tmp_path, damage, text):
    files.write([TRIP_1], tmp_path)
    damage(tmp_path)
    with pytest.raises(ConfigurationError, match=text):
        files.read(tmp_path)
    (problem,) = files.check([TRIP_1], tmp_path)
    assert text in problem.text


class Cabin(StrEnum):
    A = "a"
    B = "b"


class Narrow(StrEnum):
    A = "a"


NARROW = StrEnum("Cabin", {"A": "a"})


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (("x", int), ("x", int), ""),
        (("x", int), ("x", float), ""),
        (("x", str), ("x", bytes), ""),
        (("x", str), ("x", str | None), ""),
        (("x", tuple[int, ...]), ("x", tuple[float, ...]), ""),
        (("x", dict[str, int]), ("x", dict[str, float | None]), ""),
        (("x", NARROW), ("x", Cabin), ""),
        (("x", str), ("y", str, ""), ""),
        (("x", GUEST), ("x", GUEST), ""),
        (("x", GUEST), ("x", GUEST | None, None), ""),
        (("x", PAIR), ("x", PAIR), ""),
        (("x", float), ("x", int), "x was a double, and cannot be read as a long"),
        (("x", str | None), ("x", str), "x was a null, and cannot be read as a string"),
        (("x", int), ("x", str | None), "x was a long, which none of its types reads now"),
        (("x", Cabin), ("x", NARROW), "x no longer has b, which older data may hold"),
        (("x", Narrow), ("x", Cabin), "x was a Narrow, and is a Cabin now"),
        (("x", tuple[str, ...]), ("x", tuple[int, ...]), "x.items was a string"),
        (("x", dict[str, str]), ("x", dict[str, int]), "x.values was a string"),
        (("x", tuple[str, ...]), ("x", dict[str, str]), "x was a array"),
        (("x", str), ("y", str), "y is new and has no default"),
        (("x", TRIP_1), ("x", GUEST), "x was a Trip, and is a Guest now"),
    ],
)
def test_compatibility(old, new, text):
    def schema(field):
        from orchestrator.codec.derive import schema_of  # noqa: PLC0415

        return Schema(schema_of(payload("P", field)))

    found = compatibility.problems(schema(new), schema(old))
    assert bool(found) == bool(text)
    assert not found or text in found[0]


def test_schemas_are_equal_by_fingerprint():
    one, same, other = Schema("long"), Schema({"type": "long"}), Schema("int")
    assert one == same != other
    assert {one, same, other} == {one, other}
    assert one != "long"
    assert repr(one) == f"Schema(long, {one.fingerprint})"
    # The vector of Avro's specification: "int" is 7275d51a3f395c8f, written little-endian.
    assert other.prefix.hex() == "c3018f5c393f1ad57572"
