"""M45 without brokers: what was written by another version of a schema comes to the same state."""

from __future__ import annotations

from dataclasses import make_dataclass

import pytest
from test_runtime_batch import CODEC, PAYLOADS, TOPICS, Bench, Paid, Sale, sell

from orchestrator.codec.avro import Schema
from orchestrator.codec.derive import schema_of
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.core.evolve import evolve
from orchestrator.runtime.program import catalog_of
from orchestrator.runtime.transaction import snapshots

OLD_SALE = make_dataclass("Sale", [("colour", str), ("item", str)], frozen=True)
OLD_PAID = make_dataclass("Paid", [("receipt", str), ("till", int)], frozen=True)
BARE_SALE = make_dataclass("Sale", [("colour", str)], frozen=True)
OTHER = make_dataclass("Other", [("item", str)], frozen=True)
OLDER = [Schema(schema_of(kind)) for kind in (OLD_SALE, OLD_PAID, BARE_SALE, OTHER)]

OLD_BYTES = AvroPayloads().encode(OLD_SALE("red", "hat"), OLD_SALE)
NEW_BYTES = PAYLOADS.encode(Sale("hat"), Sale)
OLD_RESULT = AvroPayloads().encode(OLD_PAID("r-1", 7), OLD_PAID)
NEW_RESULT = PAYLOADS.encode(Paid("r-1"), Paid)


def bench(older=OLDER):
    return Bench(catalog=catalog_of((sell,), AvroPayloads(older=older)))


def lived(payload, result):
    """State and events of a saga that was started and answered with these bytes."""
    made = bench()
    made.start(payload=payload)
    made.reply(payload=result)
    assert made.letters() == []
    found = [
        CODEC.decode_transition(r.value) for r in made.outbox.records if r.topic == TOPICS.events
    ]
    events = [event for transition in found for event in transition.events]
    (snapshot,) = snapshots(made.outbox, "c", CODEC)
    return snapshot.value, events


def folded(events):
    """What a replay, which has neither definition nor schemas of payloads, makes of them."""
    state = None
    for event in events:
        state = evolve(state, event)
    return CODEC.encode_snapshot(state)


@pytest.mark.parametrize("payload", [OLD_BYTES, NEW_BYTES])
@pytest.mark.parametrize("result", [OLD_RESULT, NEW_RESULT])
def test_old_and_new_bytes_come_to_the_same_state(payload, result):
    snapshot, events = lived(payload, result)
    assert (snapshot, events) == lived(NEW_BYTES, NEW_RESULT)
    assert folded(events) == snapshot


@pytest.mark.parametrize(
    ("payload", "older", "reason"),
    [
        (OLD_BYTES, [], "unknown_schema"),
        (b"\xc3\x01nowhere!" + OLD_BYTES[10:], OLDER, "unknown_schema"),
        (AvroPayloads().encode(BARE_SALE("red"), BARE_SALE), OLDER, "wrong_record"),
        (AvroPayloads().encode(OTHER("hat"), OTHER), OLDER, "wrong_record"),
        (OLD_BYTES[:-1], OLDER, "malformed_record"),
        (NEW_BYTES[:10] + b"\xff", OLDER, "malformed_record"),
        (NEW_BYTES + b"x", OLDER, "trailing_bytes"),
    ],
)
def test_what_cannot_be_read_is_set_aside_and_begins_nothing(payload, older, reason):
    made = bench(older)
    made.start(payload=payload)
    assert [letter.reason for letter in made.letters()] == [reason]
    assert made.shard.overlay == {}
