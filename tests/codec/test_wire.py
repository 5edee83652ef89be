"""Every record there and back, byte for byte as fastavro and the goldens have it."""

from __future__ import annotations

import io
import json
from pathlib import Path

import fastavro
import pytest
from codec_values import ANY, EVENTS, METHODS, SAMPLES, decode, encode
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.codec.avro import engine_schemas
from orchestrator.codec.records import Reply, Transition
from orchestrator.codec.rows import COLUMNS, Row, pack
from orchestrator.codec.snapshots import SnapshotRow, StepRow, pack_state
from orchestrator.codec.wire import RecordCodec
from orchestrator.core import events as ev
from orchestrator.core.events import EVENT_NUMBERS
from orchestrator.core.state import StepState, StepStatus
from orchestrator.errors import DecodeError

CODEC = RecordCodec()
GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text())
NAMES = list(METHODS)


def test_every_record_and_every_event_is_sampled():
    assert set(engine_schemas()) == set(NAMES) == set(SAMPLES) == set(ANY) == set(GOLDENS)
    assert {type(event) for event in EVENTS} == set(EVENT_NUMBERS)


@pytest.mark.parametrize("name", NAMES)
def test_the_encoding_is_frozen(name):
    golden = bytes.fromhex(GOLDENS[name])
    assert encode(CODEC, name, SAMPLES[name]) == golden
    assert decode(CODEC, name, golden) == SAMPLES[name]


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_round_trip(name, data):
    value = data.draw(ANY[name])
    encoded = encode(CODEC, name, value)
    again = decode(CODEC, name, encoded)
    assert again == value
    assert type(again) is type(value)
    assert encode(CODEC, name, again) == encoded


def plain(value):
    """A record as fastavro takes it: by field name. Nested records of unions by their own name."""
    if isinstance(value, Transition):
        value = value._replace(events=tuple(pack(event) for event in value.events))
    if hasattr(value, "_asdict"):
        made = {key: plain(part) for key, part in value._asdict().items()}
        kind = type(value).__name__
        return (f"saga.{kind}", made) if kind in {"Started", "Ended"} else made
    return [plain(part) for part in value] if isinstance(value, tuple) else value


def by_schema(name, value):
    fields = [field["name"] for field in engine_schemas()[name].parsed["fields"]]
    if name == "Snapshot":
        value = SnapshotRow._make(pack_state(value))
        value = value._replace(steps=tuple(map(StepRow._make, value.steps)))
    made = plain(value)
    made = dict(zip(fields, made.values(), strict=True))
    if name == "Cursor":
        made["inputs"] = [{"topic": topic, "offset": offset} for topic, offset in value.inputs]
    if name == "DeadLetter":
        made["headers"] = [{"name": key, "value": part} for key, part in value.headers]
    return made


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_fastavro_writes_the_same_bytes(name, data):
    value, schema = data.draw(ANY[name]), engine_schemas()[name]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema.parsed, by_schema(name, value))
    assert schema.prefix + out.getvalue() == encode(CODEC, name, value)


def test_events_columns_are_those_of_the_schema():
    (events,) = (
        f for f in engine_schemas()["Transition"].parsed["fields"] if f["name"] == "events"
    )
    assert tuple(field["name"] for field in events["type"]["items"]["fields"]) == Row._fields
    for kind, columns in COLUMNS.items():
        assert len(columns) == len(kind._fields)


def test_the_prefix_is_avros_single_object_encoding():
    for name, schema in engine_schemas().items():
        data = encode(CODEC, name, SAMPLES[name])
        assert data[:2] == b"\xc3\x01"
        assert data[2:10] == bytes.fromhex(schema.fingerprint)


def test_text_that_is_no_unicode_is_written_all_the_same():
    # An error's text may hold half a character; the worker must not die of it.
    reply = Reply("s/a/do/1", "s", 2, "what\ud800?", b"")
    assert CODEC.decode_reply(CODEC.encode_reply(reply)).text == "what??"


def test_a_first_event_of_another_saga_is_not_written():
    sample = SAMPLES["Transition"]
    with pytest.raises(ValueError, match="starts trip-2"):
        CODEC.encode_transition(
            sample._replace(events=(EVENTS[0]._replace(saga_id="trip-2"), *EVENTS[1:]))
        )


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("Reply", {"outcome": 2**31}),
        ("Reply", {"outcome": "x"}),
        ("Reply", {"payload": "x"}),
        ("Reply", {"text": 5}),
        ("Outcome", {"started_ms": 2**63}),
        ("Outcome", {"started_ms": -(2**63) - 1}),
        ("Snapshot", {"lost": 1}),
        ("Snapshot", {"decisions": (256,)}),
        ("Snapshot", {"faults": [1]}),
        ("Snapshot", {"faults": (0,) * 65_537}),
    ],
)
def test_what_the_schema_cannot_hold_is_not_written(name, change):
    with pytest.raises((ValueError, TypeError, AttributeError)):
        encode(CODEC, name, SAMPLES[name]._replace(**change))


E_OTHER = "trip-2/reserve_seat/do/1"
SAGA_STARTED, ENDED = EVENTS[0], EVENTS[-2]


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("StartSaga", {"saga_id": ""}, "bad_id"),
        ("StartSaga", {"saga_id": "a/b"}, "bad_id"),
        ("StartSaga", {"saga_id": "x" * 129}, "bad_id"),
        ("StartSaga", {"definition": "../x"}, "bad_id"),
        ("StartSaga", {"version": -1}, "out_of_range"),
        ("CancelSaga", {"saga_id": "\n"}, "bad_id"),
        ("CancelSaga", {"actor": ""}, "bad_id"),
        ("RetrySaga", {"saga_id": ""}, "bad_id"),
        ("RetrySaga", {"actor": "é"}, "bad_id"),
        ("SkipStep", {"step_id": "a/b"}, "bad_id"),
        ("SkipStep", {"saga_id": "a b"}, "bad_id"),
        ("SkipStep", {"actor": "a b"}, "bad_id"),
        ("ResolveStep", {"step_id": ""}, "bad_id"),
        ("ResolveStep", {"saga_id": ""}, "bad_id"),
        ("ResolveStep", {"actor": ""}, "bad_id"),
        ("StepCommand", {"effect": "nonsense"}, "bad_id"),
        ("StepCommand", {"effect": E_OTHER}, "bad_id"),
        ("StepCommand", {"attempt": 2}, "bad_id"),
        ("StepCommand", {"reply_topic": "a/b"}, "bad_id"),
        ("StepCommand", {"reply_partition": -1}, "out_of_range"),
        ("StepCommand", {"due_ms": -1}, "out_of_range"),
        ("Reply", {"effect": "a/b/c/1"}, "bad_id"),
        ("Reply", {"effect": "trip-1/a/do/0"}, "bad_id"),
        ("Reply", {"effect": E_OTHER}, "bad_id"),
        ("Reply", {"outcome": 0}, "out_of_range"),
        ("Reply", {"outcome": 4}, "out_of_range"),
        ("Transition", {"saga": "", "events": EVENTS[1:]}, "bad_id"),
        ("Transition", {"sequence": 0}, "out_of_range"),
        ("Transition", {"at_ms": -1}, "out_of_range"),
        ("Transition", {"effects_count": -1}, "out_of_range"),
        ("Transition", {"cause": SAMPLES["Transition"].cause._replace(kind="x")}, "out_of_range"),
        ("Transition", {"events": (EVENTS[1], SAGA_STARTED)}, "malformed_record"),
        ("Transition", {"events": (ENDED._replace(phase=9),)}, "out_of_range"),
        ("Transition", {"events": (ENDED._replace(consistency=0),)}, "out_of_range"),
        ("Transition", {"events": (EVENTS[3]._replace(keep_command=2),)}, "out_of_range"),
        ("Snapshot", {"saga_id": ""}, "bad_id"),
        ("Snapshot", {"sequence": 0}, "out_of_range"),
        ("Snapshot", {"phase": 9}, "out_of_range"),
        ("Snapshot", {"decisions": (3,)}, "out_of_range"),
        ("Cursor", {"inputs": (("b", 1), ("a", 1))}, "out_of_range"),
        ("Cursor", {"inputs": (("a", 1), ("a", 1))}, "out_of_range"),
        ("Cursor", {"inputs": (("a", -1),)}, "out_of_range"),
        ("Cursor", {"partitions": 0}, "out_of_range"),
        ("Cursor", {"transaction": -1}, "out_of_range"),
        ("Cursor", {"clock_ms": -1}, "out_of_range"),
        ("Cursor", {"records_count": -1}, "out_of_range"),
        ("Outcome", {"saga": ""}, "bad_id"),
        ("Outcome", {"business": "won"}, "out_of_range"),
        ("Outcome", {"consistency": "stuck"}, "out_of_range"),
        ("DeadLetter", {"reason": ""}, "out_of_range"),
    ],
)
def test_a_record_that_fits_its_schema_may_still_be_refused(name, change, reason):
    data = encode(CODEC, name, SAMPLES[name]._replace(**change))
    with pytest.raises(DecodeError) as caught:
        decode(CODEC, name, data)
    assert caught.value.reason == reason


def _body(name, value):
    out = io.BytesIO()
    schema = engine_schemas()[name]
    fastavro.schemaless_writer(out, schema.parsed, value)
    return schema.prefix + out.getvalue()


ENDED_DETAILS = ("saga.Ended", {"phase": 3, "consistency": 1})


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"type": 99}, "unknown_event"),
        ({"type": EVENT_NUMBERS[ev.TimerIgnored], "text": "x"}, "malformed_record"),
        ({"type": EVENT_NUMBERS[ev.SagaEnded]}, "malformed_record"),
        (
            {"type": EVENT_NUMBERS[ev.SagaEnded], "text": "x", "details": ENDED_DETAILS},
            "malformed_record",
        ),
        ({"type": EVENT_NUMBERS[ev.SagaStarted]}, "malformed_record"),
    ],
)
def test_an_event_has_its_own_columns_only(columns, reason):
    record = by_schema("Transition", SAMPLES["Transition"])
    record["events"] = [Row(0)._asdict() | columns]
    with pytest.raises(DecodeError) as caught:
        CODEC.decode_transition(_body("Transition", record))
    assert caught.value.reason == reason


def test_a_transition_has_events():
    record = by_schema("Transition", SAMPLES["Transition"]) | {"events": []}
    with pytest.raises(DecodeError) as caught:
        CODEC.decode_transition(_body("Transition", record))
    assert caught.value.reason == "out_of_range"


STEP = {
    "step": 0, "attempt": 1, "attempts_before": 0, "doubtful": False, "due_ms": 0, "command": b"",
    "result": b"",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"statuses": b"\x0d", "steps": []}, "out_of_range"),
        ({"statuses": b"\x00", "steps": [STEP | {"step": 1}]}, "out_of_range"),
        ({"statuses": b"\x00", "steps": [STEP | {"step": -1}]}, "out_of_range"),
        ({"statuses": b"\x00", "steps": [STEP, STEP | {"attempt": 2}]}, "malformed_record"),
        ({"statuses": b"\x00\x00", "steps": [STEP | {"step": 1}, STEP]}, "malformed_record"),
        ({"statuses": b"\x00", "steps": [STEP | {"attempt": 0}]}, "malformed_record"),
    ],
)
def test_a_snapshot_has_one_encoding_only(change, reason):
    record = by_schema("Snapshot", SAMPLES["Snapshot"]) | change
    with pytest.raises(DecodeError) as caught:
        CODEC.decode_snapshot(_body("Snapshot", record))
    assert caught.value.reason == reason


LONG = SAMPLES["Snapshot"]._replace(steps=tuple(12 * [StepState(StepStatus.SUCCEEDED, 1)]))


@pytest.mark.parametrize(
    "change",
    [
        {"attempt": 2},
        {"attempts_before": 1},
        {"doubtful": True},
        {"due_ms": 1},
        {"command": b"c"},
        {"result": b"r"},
        {"result": 1_000 * b"r"},
    ],
)
def test_a_step_of_a_long_saga_is_written_as_it_is_now(change):
    """Its steps are remembered as they were written."""
    before = CODEC.encode_snapshot(LONG)
    steps = (*LONG.steps[:5], LONG.steps[5]._replace(**change), *LONG.steps[6:])
    changed = LONG._replace(steps=steps)

    for state in (changed, LONG, changed):
        assert CODEC.decode_snapshot(CODEC.encode_snapshot(state)) == state
    assert CODEC.encode_snapshot(LONG) == before


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "unknown_format"),
        (b"\xc3", "unknown_format"),
        (b"\xc3\x01", "unknown_schema"),
        (b"\xc3\x01\x00\x00\x00\x00\x00\x00\x00\x00x", "unknown_schema"),
        (b"\x00\x00\x00\x00\x01x", "unknown_format"),
        (b"hello", "unknown_format"),
        (encode(CODEC, "Outcome", SAMPLES["Outcome"]), "wrong_record"),
        (encode(CODEC, "Reply", SAMPLES["Reply"]) + b"\x00", "trailing_bytes"),
        (encode(CODEC, "Reply", SAMPLES["Reply"])[:-1], "malformed_record"),
    ],
)
def test_bytes_that_are_no_reply(data, reason):
    with pytest.raises(DecodeError) as caught:
        CODEC.decode_reply(data)
    assert caught.value.reason == reason
