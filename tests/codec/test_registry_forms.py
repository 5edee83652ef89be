"""Bytes under a registry's ids. The registry here is a dictionary; test_registry.py has a real one."""

from __future__ import annotations

from dataclasses import make_dataclass

import pytest
from codec_values import METHODS, SAMPLES, decode, encode

from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.derive import schema_of
from orchestrator.codec.forms import _IDS_MAX, Writers
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import PRIVATE, RecordCodec
from orchestrator.errors import DecodeError, Retriable


class Books:
    """Ids from 1, in the order of registration."""

    def __init__(self):
        self.subjects = {}
        self.documents = {}
        self.asked = []
        self.away = False

    def register(self, subject, document):
        self.subjects[subject] = document
        self.documents[len(self.documents) + 1] = document
        return len(self.documents)

    def document(self, schema_id):
        self.asked.append(schema_id)
        if self.away:
            raise Retriable("the registry is away")
        return self.documents.get(schema_id)


def under(schema_id, data):
    return b"\x00" + schema_id.to_bytes(4, "big") + data


@pytest.mark.parametrize("name", METHODS)
def test_public_records_are_written_under_their_id_and_private_ones_are_not(name):
    books = Books()
    codec, plain = RecordCodec(books), RecordCodec()
    data, bare = (encode(each, name, SAMPLES[name]) for each in (codec, plain))
    assert set(books.subjects) == {f"saga.{each}" for each in set(METHODS) - PRIVATE}
    if name in PRIVATE:
        assert data == bare
    else:
        (schema_id,) = (k for k, d in books.documents.items() if d["name"] == name)
        assert data == under(schema_id, bare[10:])
    # Both prefixes are read, and nobody is asked about an id that is ours.
    assert decode(codec, name, data) == decode(codec, name, bare) == SAMPLES[name]
    assert books.asked == []


def test_the_same_schema_under_a_strangers_id():
    books = Books()
    codec = RecordCodec(books)
    document = dict(engine_schemas()["StartSaga"].document, doc="registered by somebody else")
    books.documents[900] = document
    data = under(900, RecordCodec().encode_command(SAMPLES["StartSaga"])[10:])
    for _ in range(3):
        assert codec.decode_command(data) == SAMPLES["StartSaga"]
    assert books.asked == [900]


def test_a_payload_by_a_strangers_schema_is_resolved():
    trip = make_dataclass("Trip", [("city", str), ("nights", int, 1)], frozen=True)
    theirs = make_dataclass("Trip", [("nights", int), ("tip", float), ("city", str)], frozen=True)
    books = Books()
    payloads = AvroPayloads([trip], registry=books)
    books.documents[900] = schema_of(theirs)
    body = AvroPayloads([theirs]).encode(theirs(3, 0.5, "Rome"), theirs)[10:]
    ours = payloads.accept(under(900, body), trip)
    assert ours[:5] == under(1, b"")
    assert payloads.decode(ours, trip) == trip("Rome", 3)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (None, "unknown_schema"),
        ("nonsense", "unknown_schema"),
        ({"type": "record", "name": "R", "fields": [{"name": "r", "type": ["null", "R"]}]}, "unknown_schema"),
        ({"type": "record", "name": "saga.Other", "fields": []}, "wrong_record"),
        ({"type": "record", "name": "saga.StartSaga", "fields": []}, "wrong_record"),
    ],
)  # fmt: skip
def test_ids_that_lead_nowhere(document, reason):
    books = Books()
    codec = RecordCodec(books)
    books.documents[900] = document
    for _ in range(3):
        with pytest.raises(DecodeError) as caught:
            codec.decode_command(under(900, b""))
        assert caught.value.reason == reason
    assert books.asked == [900]


def test_unknown_ids_do_not_fill_the_memory():
    writers = Writers((), Books())
    for schema_id in range(1_000, 1_000 + 2 * _IDS_MAX):
        with pytest.raises(DecodeError):
            writers.find(under(schema_id, b""))
    assert len(writers._by_id) <= _IDS_MAX


def test_a_registry_that_is_away_makes_no_bytes_bad():
    books = Books()
    codec = RecordCodec(books)
    books.away = True
    with pytest.raises(Retriable):
        codec.decode_command(under(900, b""))


def test_an_id_needs_four_bytes():
    with pytest.raises(DecodeError, match="unknown_format"):
        RecordCodec(Books()).decode_command(b"\x00\x00\x00\x01")
