"""The command line against a real Kafka, as one story: `saga dev` runs, everything else is asked."""

from __future__ import annotations

import io
import json
import shlex
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


def test_devs_example_works_as_it_stands(saga):
    told = ("SAGA_MODULES", "SAGA_PREFIX", "SAGA_BOOTSTRAP_SERVERS")
    found = subprocess.run(
        [*SAGA, *shlex.split(saga.hello["example"])[1:]],
        env={name: value for name, value in saga.env.items() if name not in told},
        cwd=saga.folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert found.returncode == 0, found.stderr
    assert "first-1: completed" in found.stdout


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
    saga.order("table-1", item="nothing", code=1)

    shown = saga.run("show", "table-1")
    assert 'turned back: keep failed: Nothing(item="nothing")' in shown
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
    for _ in range(2):  # the same file twice starts nothing twice, and is answered the same
        found = saga.json("start", "fulfil", "--file", name, "--wait", code=1)
        assert found == {
            "acknowledged": 2,
            "outcomes": {"completed": 1, "rolled_back": 1},
            "refused": {},
            "open": 0,
        }

    (saga.folder / name).write_text(
        "\n".join(lines).replace(",1", ",many").replace('"count": 1', '"count": "x"')
    )
    refused = saga.json("start", "fulfil", "--file", name, code=1)
    assert refused["reason"] == "malformed_payload"
    bad = ["line 2: "] if name.endswith("csv") else ["line 1: ", "line 2: "]
    assert [line.strip()[:8] for line in refused["text"].splitlines()[1:]] == bad


def test_a_file_with_conflicts(saga):
    saga.order("file-clash")
    line = {"saga": "file-clash", **ORDER, "count": 9}
    (saga.folder / "clash.jsonl").write_text(json.dumps(line) + "\n")
    found = saga.json("start", "fulfil", "--file", "clash.jsonl", "--wait", code=1)

    assert found["refused"] == {"conflict": 1}
    assert (found["outcomes"], found["open"]) == ({}, 0)


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
    unknown = saga.json("skip", "stuck-3", "sned", "--reason", "lost", code=1)
    assert (unknown["reason"], unknown["text"].split("; ")[1]) == (
        "unknown_step",
        "did you mean send?",
    )
    refused = saga.json("skip", "stuck-3", "keep", "--reason", "lost", code=1)
    assert refused["reason"] == "not_stuck"
    reasons = [one["details"]["reason"] for one in saga.json("show", "stuck-3")["refused"]]
    assert reasons == ["unknown_step", "not_stuck"]
    skipped = saga.json("skip", "stuck-3", "send", "--reason", "lost")
    assert [event["event"] for event in skipped["events"]] == [
        "StepSkipped",
        "CompensationStarted",
        "CompensationRequested",
    ]
    assert [event["step"] for event in skipped["events"]] == ["send", "send", "keep"]
    with saga.client() as client:
        outcome = client.wait("stuck-3", timeout_s=60)
    assert (outcome.business, outcome.consistency) == ("rolled_back", "unknown")


def test_refusals_are_told_at_once(saga):
    saga.order("done-1")
    assert saga.json("cancel", "done-1", code=1)["reason"] == "finished"
    assert saga.json("cancel", "never-was", code=1)["reason"] == "unknown_saga"
    assert saga.json("show", "never-was", code=5)["reason"] == "unknown_saga"
    clash = json.dumps({**ORDER, "count": 5})
    begin = ("start", "fulfil", "--id", "done-1", "--payload", clash)
    assert "acknowledged" in saga.run(*begin)
    assert saga.json(*begin, "--wait", code=1)["reason"] == "conflict"
    (definition,) = modules.load([saga.env["SAGA_MODULES"]]).sagas
    with saga.client() as client:
        other = definition.given(definition.input_type("lamp", 6))
        with pytest.raises(CommandRejected, match="conflict"):
            client.wait(client.start(other, saga_id="done-1"), timeout_s=60)
    with saga.client() as client:
        receipt = client.send(StartSaga("no-such-1", "no_such_saga", 0, b"{}"))
        with pytest.raises(CommandRejected, match="no_such_saga"):
            client.wait(receipt, timeout_s=60)


def test_a_repeated_start_is_a_success_that_says_so(saga):
    saga.order("again-1")
    again = saga.order("again-1")
    assert (again["repeated"], again["outcome"]["business"]) == (True, "completed")
    payload = json.dumps(ORDER)
    told = saga.run("start", "fulfil", "--id", "again-1", "--wait", "--payload", payload)
    assert "started before with the same content" in told


def test_a_stuck_saga_is_told_at_once(saga):
    found = saga.order("stuck-at-once", item="piano", code=1)
    assert (found["stuck"], found["outcome"]) == (True, None)
    (event,) = saga.json("show", "stuck-at-once")["stuck_at"]
    assert "no van is large enough" in event["details"]["text"]
    counts = saga.json("list", "--stuck")["counts"]
    assert counts["stuck"] == saga.json("list", "--stuck")["matching"]
    assert "running" not in counts
    saga.run("skip", "stuck-at-once", "send", "--reason", "it is a test")


def test_a_list_is_the_newest_first(saga):
    for number in range(3):
        saga.order(f"newest-{number}", item="nothing", code=1)
    found = saga.json("list", "--outcome", "rolled_back", "--limit", "2")
    assert [one["saga"] for one in found["sagas"]] == ["newest-2", "newest-1"]
    assert found["matching"] >= 3
    found = saga.json("list", "--consistency", "unknown", "--limit", "0")
    assert {one["consistency"] for one in found["sagas"]} <= {"unknown"}


def test_topics_are_checked_as_they_are_found(saga):
    assert saga.json("topics", "check")["problems"] == []
    assert saga.json("topics", "check", "--profile", "production", code=1)["problems"]


def test_what_dev_runs_is_not_run_twice(saga):
    refused = saga.json("participant", saga.env["CLI_TEST_PARTICIPANT"], code=3)
    assert "--without" in refused["text"]
    assert "--instance 1" in saga.json("worker", code=3)["text"]
    assert "already runs here" in saga.json("dev", code=3)["text"]


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
