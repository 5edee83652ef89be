"""The command line against a real Kafka, as one story: `saga dev` runs, everything else is asked."""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess

import fastavro
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from installation import ORDER, ROOT, SAGA, Installation

from orchestrator import modules
from orchestrator.core.commands import StartSaga
from orchestrator.errors import CommandRejected, TimedOut


@pytest.fixture(scope="module")
def saga(kafka, tmp_path_factory):
    installation = Installation(kafka.bootstrap_servers, tmp_path_factory.mktemp("cli"))
    installation.hello = installation.start()
    yield installation
    assert installation.stop() == 0


def stuck(saga, name):
    """Start a saga whose sending fails for good, and wait until it is stuck."""
    with saga.client() as client:
        order = json.dumps({**ORDER, "item": f"piano {name}"})
        saga.run("start", "fulfil", "--id", name, "--payload", order)
        with pytest.raises(TimedOut):
            client.wait(name, timeout_s=0.1)
        for _ in range(200):
            found = saga.json("show", name) if saga.json("list", "--stuck")["sagas"] else {}
            if found.get("stuck"):
                return found
    raise AssertionError(f"{name} is not stuck")


def test_dev_says_what_it_runs(saga):
    assert saga.hello["sagas"] == [{"saga": "fulfil", "version": 1}]
    assert saga.hello["participants"] == [saga.env["CLI_TEST_PARTICIPANT"]]
    assert saga.hello["not_handled"] == []
    assert saga.json("topics", "check", "--profile", "development")["problems"] == []


def test_start_show_audit_list_replay(saga):
    started = saga.order("trip-1")
    assert started["command"]["topic"] == f"{saga.prefix}.commands"
    assert started["outcome"]["business"] == "completed"
    assert started["outcome"]["result"] == {"parcel": "parcel of lamp"}

    shown = saga.json("show", "trip-1")
    assert (shown["phase"], shown["consistency"], shown["stuck"]) == (
        "completed",
        "consistent",
        False,
    )
    assert [(step["step"], step["status"]) for step in shown["steps"]] == [
        ("keep", "succeeded"),
        ("send", "succeeded"),
    ]
    events = saga.json("audit", "trip-1")["events"]
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [event["event"] for event in events] == [
        "SagaStarted",
        "StepRequested",
        "StepSucceeded",
        "StepRequested",
        "StepSucceeded",
        "SagaEnded",
    ]
    assert events[0]["cause"] == {"kind": "start", "actor": None, **started["command"]}
    assert events[0]["details"]["payload"] == {**ORDER, "note": None}
    assert events[2]["cause"]["actor"] == saga.env["CLI_TEST_PARTICIPANT"]
    assert events[2]["record"]["topic"] == f"{saga.prefix}.events"

    listed = saga.json("list", "--definition", "fulfil", "--ended")
    assert "trip-1" in {one["saga"] for one in listed["sagas"]}
    assert listed["counts"]["completed"] >= 1
    replayed = saga.json("replay", "trip-1")
    assert replayed["ok"]
    assert replayed["partitions"][0]["compared"] == {"changelog": 1}


def test_people_get_tables(saga):
    saga.order("table-1", item="nothing")

    assert "keep" in saga.run("show", "table-1")
    assert "rolled_back" in saga.run("list")
    assert "StepFailed" in saga.run("audit", "table-1")
    assert "byte for byte" in saga.run("replay")


@pytest.mark.parametrize("name", ["orders.jsonl", "orders.csv"])
def test_a_file_of_many(saga, name):
    prefix = name.replace(".", "-")
    if name.endswith("csv"):
        lines = ["saga,item,count,note", f"{prefix}-1,lamp,1,", f"{prefix}-2,nothing,2,later"]
    else:
        lines = [
            json.dumps({"saga": f"{prefix}-1", "payload": ORDER}),
            json.dumps({"saga": f"{prefix}-2", **ORDER, "item": "nothing"}),
        ]
    (saga.folder / name).write_text("\n".join(lines) + "\n")
    found = saga.json("start", "fulfil", "--file", name, "--wait")
    assert found == {"acknowledged": 2, "outcomes": {"completed": 1, "rolled_back": 1}, "open": 0}

    (saga.folder / name).write_text(
        "\n".join(lines).replace(",1", ",many").replace('"count": 1', '"count": "x"')
    )
    refused = saga.json("start", "fulfil", "--file", name, code=1)
    assert refused["reason"] == "malformed_payload"
    assert "line " in refused["text"]


def test_stuck_sagas_are_got_out(saga):
    assert stuck(saga, "stuck-1")["steps"][1]["status"] == "stuck"
    again = saga.json("retry", "stuck-1", "--reason", "van is back", "--actor", "ann")
    assert [event["event"] for event in again["events"]] == ["RetryOrdered", "StepRequested"]
    assert again["events"][0]["cause"]["actor"] == "ann"

    stuck(saga, "stuck-2")
    done = saga.json(
        "resolve", "stuck-2", "send", "--reason", "by hand", "--result", '{"parcel": "p"}'
    )
    assert [event["event"] for event in done["events"]] == ["StepResolved", "SagaEnded"]
    assert saga.json("show", "stuck-2")["phase"] == "completed"

    stuck(saga, "stuck-3")
    refused = saga.json("skip", "stuck-3", "keep", "--reason", "lost", code=1)
    assert refused["reason"] == "not_stuck"
    assert [one["event"] for one in saga.json("show", "stuck-3")["refused"]] == ["CommandRefused"]
    skipped = saga.json("skip", "stuck-3", "send", "--reason", "lost")
    assert [event["event"] for event in skipped["events"]] == [
        "StepSkipped",
        "CompensationStarted",
        "CompensationRequested",
    ]
    with saga.client() as client:
        outcome = client.wait("stuck-3", timeout_s=60)
    assert (outcome.business, outcome.consistency) == ("rolled_back", "unknown")


def test_refusals_are_told_at_once(saga):
    saga.order("done-1")
    assert saga.json("cancel", "done-1", code=1)["reason"] == "finished"
    assert saga.json("cancel", "never-was", code=1)["reason"] == "unknown_saga"
    assert saga.json("show", "never-was", code=5)["reason"] == "unknown_saga"
    clash = json.dumps({**ORDER, "count": 5})
    saga.run("start", "fulfil", "--id", "done-1", "--payload", clash)
    assert saga.json("audit", "done-1")["events"][-1]["event"] in {"CommandRefused", "SagaEnded"}
    with saga.client() as client:
        receipt = client.send(StartSaga("no-such-1", "no_such_saga", 0, b"{}"))
        with pytest.raises(CommandRejected, match="no_such_saga"):
            client.wait(receipt, timeout_s=60)


def test_dead_letters_are_grouped_and_shown_with_their_bytes(saga):
    saga.produce(b"hostile-1", b"\x00\x01\x1b[2Jgarbage")
    with saga.client() as client:
        client.wait(
            client.send(StartSaga("after-1", "fulfil", 0, json.dumps(ORDER).encode())),
            timeout_s=60,
        )
    with saga.client() as client:  # the same shard, later: the letter is there by now
        shard = client._shard_of("after-1")
    if shard != 0:
        saga.order("after-2")
        saga.order("after-3")
    found = saga.json("dead-letters", "--key", "hostile-1")
    assert found["count"] == 1
    (letter,) = found["letters"]
    assert {group["reason"] for group in found["groups"]} == {letter["reason"]}
    one = saga.json("dead-letters", letter["place"])
    assert one["origin"]["topic"] == f"{saga.prefix}.commands"
    text = saga.run("dead-letters", letter["place"])
    assert "00 01 1b 5b 32 4a" in text
    assert "\x1b" not in text
    saga.json("dead-letters", "0/999999", code=5)


def test_the_client_decodes_results(saga):
    program = modules.load([saga.env["SAGA_MODULES"]])
    (definition,) = program.sagas
    with saga.client() as client:
        order = definition.input_type("lamp", 1)
        count = client.start_many((f"many-{n}", definition.given(order)) for n in range(50))
        outcomes = client.wait_many([f"many-{n}" for n in range(50)], timeout_s=60)
        assert (count, len(outcomes)) == (50, 50)
        assert client.value(definition, outcomes["many-7"]).parcel == "parcel of lamp"
        with pytest.raises(CommandRejected, match="no saga id"):
            client.start(definition.given(order), saga_id="a b")


# --- any console producer -----------------------------------------------------------------------

NEEDS_KCAT = pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")


@NEEDS_KCAT
@pytest.mark.parametrize("partitioner", ["murmur2_random", "consistent_random"])
def test_kcat_starts_a_saga_in_json(saga, partitioner):
    name = f"kcat-json-{partitioner}"
    value = json.dumps({"start": "fulfil", "saga": name, "payload": ORDER})
    kcat(saga, "-K", "|", "-X", f"topic.partitioner={partitioner}", stdin=f"{name}|{value}")

    assert saga.outcome_of(name) == "completed"


@NEEDS_KCAT
def test_kcat_starts_a_saga_in_avro_written_by_another_library(saga):
    """With nothing but the published schemas: fastavro alone, no code of ours."""
    saga.run("schemas", "write")
    schemas = ROOT / "orchestrator" / "codec" / "schemas"
    payload = single_object(
        saga.folder / "schemas" / "payloads" / "Order.avsc", {**ORDER, "note": None}
    )
    command = {"saga": "kcat-avro", "definition": "fulfil", "version": 1, "payload": payload}
    file = saga.folder / "start.avro"
    file.write_bytes(single_object(schemas / "StartSaga.avsc", command))
    kcat(saga, "-k", "kcat-avro", str(file))

    assert saga.outcome_of("kcat-avro") == "completed"


def kcat(saga, *arguments, stdin=""):
    subprocess.run(
        ["kcat", "-P", "-b", saga.servers, "-t", f"{saga.prefix}.commands", *arguments],
        input=stdin.encode(),
        check=True,
        timeout=60,
    )


def single_object(path, value):
    schema = json.loads(path.read_text())
    canonical = to_parsing_canonical_form(schema)
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return b"\xc3\x01" + bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO")) + out.getvalue()


def test_kafkas_console_producer_starts_a_saga_in_json(saga, kafka):
    if not hasattr(kafka, "run_tool"):
        pytest.skip("the cluster is not ours: its console producer is not at hand")
    value = json.dumps({"start": "fulfil", "saga": "console-1", "payload": ORDER})
    done = kafka.run_tool(
        "kafka-console-producer",
        "--topic",
        f"{saga.prefix}.commands",
        "--property",
        "parse.key=true",
        "--property",
        "key.separator=|",
        stdin=f"console-1|{value}\n".encode(),
    )

    assert done.returncode == 0, done.stderr
    assert saga.outcome_of("console-1") == "completed"


# --- several processes: last, since the shards change hands -------------------------------------


def test_workers_under_supervision(saga):
    workers = subprocess.Popen(
        [*SAGA, "worker", "--processes", "2", "--instance", "5", "--data-dir", "supervised"],
        env=saga.env,
        cwd=saga.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    joined = set()
    for line in workers.stderr:
        entry = json.loads(line)
        joined.add(entry.get("worker"))
        if entry["event"] == "shard_running" and len(joined - {None}) == 2:
            break
    saga.order("supervised-1")
    workers.send_signal(signal.SIGTERM)
    workers.communicate(timeout=60)

    assert joined - {None} == {f"{saga.prefix}-005", f"{saga.prefix}-006"}
    assert workers.returncode == 0
    assert saga.json("replay")["ok"]
