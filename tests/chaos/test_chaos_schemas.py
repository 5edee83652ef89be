"""M45: bytes by schemas of other versions, before and after a worker that knows them is there."""

from __future__ import annotations

import signal
import sys
from dataclasses import make_dataclass

from orchestrator import modules
from orchestrator.codec import files
from orchestrator.codec.avro import Schema
from orchestrator.codec.derive import schema_of
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.records import Reply
from orchestrator.core.commands import StartSaga
from orchestrator.core.events import SagaStarted

FIELDS = "    amount_cents: int\n\n\nclass Balance"
MORE = FIELDS.replace("int\n", 'int\n    note: str = ""\n', 1)
SHORT = make_dataclass("Transfer", [("source", str)], frozen=True)
"""A version that this one cannot read: it lacks fields that have no default."""
NEVER_SEEN = b"\xc3\x01nowhere!"


def next_edition(town):
    """The same program with one more field in what starts a saga; says which module holds it."""
    text = town.program.read_text()
    assert FIELDS in text
    path = town.program.with_stem(f"{town.program.stem}_next")
    path.write_text(text.replace(FIELDS, MORE))
    code = modules.load(str(path))
    sagas = {saga.id: saga for saga in code.sagas}
    return path, sagas, sys.modules[sagas["move"].spec.function.__module__]


def keep_schemas(folder, kind):
    """What `saga schemas` keeps of the edition before, and a version that nobody should have kept."""
    files.write([kind], folder)
    short = Schema(schema_of(SHORT))
    (folder / f"{short.name}.{short.fingerprint}.avsc").write_text(short.text())
    files.lock(folder)


def start_of(town, saga_id, payload):
    return town.codec.encode_command(StartSaga(saga_id, "move", 1, payload))


def send_start(town, saga_id, payload):
    return town.send(town.topics.commands, saga_id.encode(), start_of(town, saga_id, payload))


def test_old_and_new_bytes_run_side_by_side_and_all_others_are_set_aside(town, tmp_path):
    worker = town.worker()
    town.begin(12)
    town.wait_ended()
    path, sagas, space = next_edition(town)
    old_kind, new_kind = town.space.Transfer, space.Transfer
    old_bytes = AvroPayloads().encode(old_kind("account-1", "saving-1", 5), old_kind)
    new_bytes = AvroPayloads().encode(new_kind("account-2", "saving-2", 5, "rent"), new_kind)
    short_bytes = AvroPayloads().encode(SHORT("account-3"), SHORT)

    # The old worker. Who writes by a newer schema came too early.
    town.bank.freeze()
    under_way = set(town.begin(12))
    commands, replies = town.topics.commands, town.topics.replies(town.participants[0])
    start, reply = start_of(town, "m-1-ok", old_bytes), Reply("x-1/debit/do/1", "x-1", 1, "", b"")
    answer = town.codec.encode_reply(reply)
    bad = {
        send_start(town, "m-early-ok", new_bytes): "unknown_schema",
        send_start(town, "x-1", short_bytes): "unknown_schema",
        send_start(town, "x-1", NEVER_SEEN): "unknown_schema",
        send_start(town, "x-1", old_bytes[:-1]): "malformed_record",
        send_start(town, "x-1", old_bytes + b"\0"): "trailing_bytes",
        town.send(commands, b"x-1", NEVER_SEEN): "unknown_schema",
        town.send(commands, b"x-1", start[:10] + b"\xff" * 20): "malformed_record",
        town.send(commands, b"x-1", start[:-1]): "malformed_record",
        town.send(commands, b"x-1", answer): "wrong_record",
        town.send(replies, b"x-1", answer[:-1]): "malformed_record",
        town.send(replies, b"x-1", start): "wrong_record",
    }
    town.wait_consumed()
    town.stop(worker)

    # The new one, in the middle of sagas that were begun with the old bytes.
    town.program = path
    keep_schemas(tmp_path / "schemas", old_kind)
    town.payloads = AvroPayloads(older=files.read(tmp_path / "schemas"))
    town.worker(schemas=tmp_path / "schemas")
    town.bank.signal(signal.SIGCONT)
    bad[send_start(town, "x-2", short_bytes)] = "wrong_record"
    bad[send_start(town, "x-2", new_bytes[:-1])] = "malformed_record"
    for saga_id, payload in [("m-early-ok", new_bytes), ("m-late-ok", old_bytes)]:
        town.acknowledged.add(saga_id)
        send_start(town, saga_id, payload)
    town.begin(12)
    town.sagas, town.space = sagas, space
    town.begin(12)
    town.wait_ended()

    # Judged by what the new edition reads: every state is what the log folds to, old and new.
    history = town.check(bad=bad)
    begun = {
        transition.saga: event.payload[:10]
        for _, transition in history.transitions
        for event in transition.events
        if isinstance(event, SagaStarted)
    }
    assert {begun[saga] for saga in under_way} == {old_bytes[:10]}
    assert {begun[saga] for saga in ("m-early-ok", "m-late-ok")} == {new_bytes[:10]}
    assert under_way <= town.ended.keys()
