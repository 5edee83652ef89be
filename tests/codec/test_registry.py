"""The registry's wire format against a real Confluent-compatible registry."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
import warnings
from contextlib import closing
from dataclasses import make_dataclass

import pytest
from codec_values import METHODS, SAMPLES, decode, encode

from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import PRIVATE, RecordCodec
from orchestrator.errors import ConfigurationError, DecodeError, Retriable
from orchestrator.kafka.registry import ConfluentRegistry

TRIP = make_dataclass("RegistryTrip", [("city", str), ("nights", int, 1)], frozen=True)
BROKEN = make_dataclass("RegistryTrip", [("city", int)], frozen=True)


@pytest.fixture
def registry(schema_registry):
    with closing(ConfluentRegistry(schema_registry.url)) as made:
        yield made


@pytest.fixture
def another_registry(schema_registry):
    with closing(ConfluentRegistry(schema_registry.url)) as made:
        yield made


def asked(registry_url, path):
    with urllib.request.urlopen(f"{registry_url}{path}", timeout=10) as answer:
        return json.load(answer)


def test_records_and_payloads_travel_under_the_registrys_ids(
    registry, another_registry, schema_registry
):
    codec, other = RecordCodec(registry), RecordCodec(another_registry)
    for name in METHODS:
        data = encode(codec, name, SAMPLES[name])
        assert data[:1] == (b"\xc3" if name in PRIVATE else b"\x00")
        assert decode(other, name, data) == SAMPLES[name]
    assert {f"saga.{name}" for name in set(METHODS) - PRIVATE} <= set(
        asked(schema_registry.url, "/subjects")
    )
    payloads = AvroPayloads([TRIP], registry=registry)
    data = payloads.encode(TRIP("Rome"), TRIP)
    schema_id = int.from_bytes(data[1:5], "big")
    there = json.loads(asked(schema_registry.url, f"/schemas/ids/{schema_id}")["schema"])
    assert there["name"] == "RegistryTrip"
    assert payloads.decode(data, TRIP) == TRIP("Rome")
    # Without a registry at hand the same payload has its fingerprint, and both can be read.
    assert payloads.accept(AvroPayloads([TRIP]).encode(TRIP("Rome"), TRIP), TRIP) == data


def test_a_strangers_schema_of_the_same_record_is_found_by_its_id(registry):
    document = dict(engine_schemas()["StartSaga"].document, doc="by somebody else")
    schema_id = registry.register("somebody.elses.subject", document)
    body = RecordCodec().encode_command(SAMPLES["StartSaga"])[10:]
    data = b"\x00" + schema_id.to_bytes(4, "big") + body
    assert RecordCodec(registry).decode_command(data) == SAMPLES["StartSaga"]


def test_another_client_of_the_registry_starts_sagas_and_reads_outcomes(registry, schema_registry):
    with warnings.catch_warnings(record=True):
        from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415
        from confluent_kafka.schema_registry.avro import (  # noqa: PLC0415
            AvroDeserializer,
            AvroSerializer,
        )
        from confluent_kafka.serialization import (  # noqa: PLC0415
            MessageField,
            SerializationContext,
        )
    codec, start = RecordCodec(registry), SAMPLES["StartSaga"]
    with closing(SchemaRegistryClient({"url": schema_registry.url})) as client:
        write = AvroSerializer(client, json.dumps(engine_schemas()["StartSaga"].document))
        commands = SerializationContext("saga.commands", MessageField.VALUE)
        fields = {"saga": start.saga_id, **start._asdict()}
        del fields["saga_id"]
        assert codec.decode_command(write(fields, commands)) == start
        outcome = SAMPLES["Outcome"]
        outcomes = SerializationContext("saga.outcomes", MessageField.VALUE)
        assert (
            AvroDeserializer(client)(codec.encode_outcome(outcome), outcomes) == outcome._asdict()
        )


def test_an_id_that_the_registry_does_not_have(registry):
    assert registry.document(987_654) is None
    with pytest.raises(DecodeError) as caught:
        RecordCodec(registry).decode_command(b"\x00" + (987_654).to_bytes(4, "big"))
    assert caught.value.reason == "unknown_schema"


def test_what_the_registry_refuses_stops_the_start(registry):
    with pytest.raises(ConfigurationError, match="does not take broken"):
        registry.register("broken", {"type": "nonsense"})


def test_a_registry_that_is_away():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with closing(ConfluentRegistry(url, user_info="ann:secret", timeout_s=1)) as registry:
            assert "secret" not in repr(registry)
            with pytest.raises(Retriable, match="is away"):
                registry.document(1)
            with pytest.raises(ConfigurationError, match="does not take"):
                registry.register("x", "long")


def test_no_url():
    with pytest.raises(ConfigurationError):
        ConfluentRegistry("")


def test_the_extra_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka.schema_registry", None)
    with pytest.raises(ConfigurationError, match=r"saga-orchestrator\[registry\]"):
        ConfluentRegistry("http://localhost:1")
