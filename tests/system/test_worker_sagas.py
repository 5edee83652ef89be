"""Sagas through one worker process and a real broker: good ways, bad ways, hostile input."""

from __future__ import annotations

import json

import pytest
from worker_kit import Installation, Participants, trip_payload, wait_until

from orchestrator.codec.records import Reply
from orchestrator.core.commands import CancelSaga, ReplyOutcome, StartSaga
from orchestrator.core.events import AttemptFailed, CommandRefused, ReplyIgnored
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.testing.checkers import bad_input_accounted


@pytest.fixture
def place(kafka, topic_prefix, tmp_path):
    made = Installation(kafka.bootstrap_servers, topic_prefix, tmp_path)
    yield made
    made.close()


def test_sagas_complete_and_every_invariant_holds(place):
    with Participants(place) as participants:
        worker = place.worker()
        place.start_many([f"t-{n}" for n in range(50)], lambda _: trip_payload(place))

        outcomes = place.wait_ended(50)

        place.stop(worker)
        assert {(o.business, o.consistency) for o in outcomes.values()} == {
            ("completed", "consistent")
        }
        place.check(participants, place.stored([0]))


def test_a_failure_at_any_step_undoes_what_was_done_before_it(place):
    with Participants(place) as participants:
        failing = {"t-0": "seat", "t-1": "room", "t-2": "card"}
        participants.answer = lambda c: (
            participants.failure(c)
            if failing.get(c.saga) == c.step and c.direction == "do"
            else participants.success(c)
        )
        worker = place.worker()
        for saga in failing:
            place.start(saga, trip_payload(place))

        outcomes = place.wait_ended(3)

        place.stop(worker)
        assert {o.business for o in outcomes.values()} == {"rolled_back"}
        undone = [(c.saga, c.step) for c in participants.seen if c.direction == "undo"]
        assert [step for saga, step in undone if saga == "t-0"] == []
        assert [step for saga, step in undone if saga == "t-1"] == ["seat"]
        assert [step for saga, step in undone if saga == "t-2"] == ["room", "seat"]
        place.check(participants, place.stored([0]))


def test_silence_is_asked_again_and_given_up_by_undoing_the_unknown(place):
    with Participants(place) as participants:
        participants.answer = lambda c: (
            None if (c.step, c.direction) == ("room", "do") else participants.success(c)
        )
        worker = place.worker()
        place.start("t-0", trip_payload(place))

        outcomes = place.wait_ended(1)

        place.stop(worker)
        assert outcomes["t-0"].business == "rolled_back"
        attempts = [c.attempt for c in participants.seen if c.step == "room"]
        assert attempts == [1, 2, 3, 1]
        reasons = {
            e.reason
            for _, t in place.transitions("t-0")
            for e in t.events
            if isinstance(e, AttemptFailed)
        }
        assert reasons == {"timeout"}
        place.check(participants, place.stored([0]))


def test_duplicates_change_nothing(place):
    with Participants(place) as participants:
        participants.answer = lambda c: [participants.success(c)] * 3
        worker = place.worker()
        payload = trip_payload(place)
        for _ in range(3):
            place.start("t-0", payload)
        place.start("t-0", trip_payload(place, "bob"))

        place.wait_ended(1)
        command = participants.seen[0]
        participants.reply(command, participants.success(command))
        participants._producer.flush(10)
        stranger = Reply(command.effect, command.saga, int(ReplyOutcome.SUCCEEDED), "", b"")
        origin = place.send(
            place.topics.replies("tripcards"), b"t-0", place.codec.encode_reply(stranger)
        )

        def all_consumed():
            return any(t.cause.origin == origin for _, t in place.transitions("t-0"))

        wait_until(all_consumed, "the last reply")
        place.stop(worker)
        events = [e for _, t in place.transitions("t-0") for e in t.events]
        refused = [e.reason for e in events if isinstance(e, CommandRefused)]
        assert sorted(refused) == ["conflict", "duplicate", "duplicate"]
        assert {e.reason for e in events if isinstance(e, ReplyIgnored)} <= {
            "duplicate",
            "finished",
        }
        assert max(participants.applied.values()) == 1
        place.check(participants, place.stored([0]))


def test_cancel_turns_a_saga_back(place):
    with Participants(place) as participants:
        participants.answer = lambda c: (
            None if (c.step, c.direction) == ("card", "do") else participants.success(c)
        )
        worker = place.worker()
        place.start("t-0", trip_payload(place))
        wait_until(lambda: any(c.step == "card" for c in participants.seen), "the charge")
        place.command(CancelSaga("t-0", "ann", "changed my mind"))
        place.command(CancelSaga("nobody", "ann", "no such saga"))

        outcomes = place.wait_ended(1)

        place.stop(worker)
        assert outcomes["t-0"].business == "cancelled"
        assert [letter.reason for _, letter in place.dead_letters()] == ["unknown_saga"]
        place.check(participants, place.stored([0]))


def test_json_starts_a_saga_and_a_misrouted_command_finds_home(place):
    with Participants(place) as participants:
        worker = place.worker()
        start = {"start": "trip", "saga": "t-0", "payload": {"traveller": "ann", "cents": 1}}
        key = b"t-0"
        wrong = 1 - partition_of(key, 2)
        place.send(place.topics.commands, key, json.dumps(start).encode(), partition=wrong)
        place.acknowledged.add("t-0")

        outcomes = place.wait_ended(1)

        place.stop(worker)
        assert outcomes["t-0"].business == "completed"
        history = place.check(participants, place.stored([0]))
        assert sum(history.rerouted.values()) == 1


def test_bad_input_is_dead_lettered_with_its_reason_and_disturbs_nobody(place):
    with Participants(place) as participants:
        worker = place.worker()
        commands, replies = place.topics.commands, place.topics.replies("tripseats")

        def command(saga, **changes):
            fields = {"definition": "trip", "version": 0, "payload": trip_payload(place)}
            return place.codec.encode_command(StartSaga(saga, **{**fields, **changes}))

        def reply(effect, saga):
            return place.codec.encode_reply(Reply(effect, saga, 1, "", b""))

        good = command("b-1")
        bad = [
            (commands, b"b-1", b"\xc3\x01garbage....", "unknown_schema"),
            (commands, b"b-1", b"nonsense", "unknown_format"),
            (commands, b"b-1", good[:-3], "malformed_record"),
            (commands, b"b-1", good + b"\x00", "trailing_bytes"),
            (commands, b"b-1", None, "missing_value"),
            (commands, None, good, "missing_key"),
            (commands, b"other", good, "key_mismatch"),
            (commands, b"b-1", b"{" * 5_000, "too_deep"),
            (commands, b"b-1", b'{"start":"trip","saga":"b-1","payload":{}}', "malformed_payload"),
            (commands, b"b-2", command("b-2", definition="nope"), "unknown_definition"),
            (commands, b"b-2", command("b-2", version=9), "unknown_version"),
            (commands, b"b-2", command("b-2", payload=b"\x00"), None),
            (commands, b"b-2", b"\xc3\x01" + bytes(300_000), "oversize_value"),
            (replies, b"b-1", reply("b-1/seat/do/1", "b-1"), "unknown_saga"),
            (replies, b"b-3", reply("b-1/seat/do/1", "b-1"), "key_mismatch"),
            (replies, b"b-1", good, "wrong_record"),
        ]
        expected = {}
        for topic, key, value, reason in bad:
            expected[place.send(topic, key, value)] = reason
        many = [(f"h{n}", b"x") for n in range(1_000)]
        expected[place.send(commands, b"b-1", good, headers=many)] = "too_many_headers"
        misrouted = place.send(
            commands,
            b"b-1",
            good,
            partition=1 - partition_of(b"b-1", 2),
            headers=[("rerouted", b"x")],
        )
        expected[misrouted] = "misrouted"
        place.start("t-0", trip_payload(place))
        place.start("t-1", trip_payload(place))

        place.wait_ended(2)

        log = place.stop(worker)
        history = place.check(participants, place.stored([0]))
        reasons = {letter.origin: letter.reason for _, letter in history.dead_letters}
        known = {origin: reason for origin, reason in expected.items() if reason is not None}
        assert bad_input_accounted(history, known) == []
        assert set(reasons) == set(expected)
        counted = next(line for line in log if line["event"] == "worker_stopped")["dead_letters"]
        assert sum(counted.values()) == len(expected)
