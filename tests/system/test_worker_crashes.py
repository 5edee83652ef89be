"""A worker may die at any instant: killed at each stage of the commit, by name."""

from __future__ import annotations

import shutil
import signal
import time

import pytest
from worker_kit import Installation, Participants, trip_payload, wait_until

from orchestrator.core.events import AttemptFailed

COMMIT_STAGES = [f"C{number:02d}" for number in range(1, 12)]


@pytest.fixture
def place(kafka, topic_prefix, tmp_path):
    made = Installation(kafka.bootstrap_servers, topic_prefix, tmp_path)
    yield made
    made.close()


def mixed(participants):
    """One saga in four fails at its last step."""
    return lambda c: (
        participants.failure(c)
        if c.step == "card" and c.direction == "do" and c.saga.endswith(("3", "7"))
        else participants.success(c)
    )


@pytest.mark.parametrize("stage", COMMIT_STAGES)
def test_killed_at_a_stage_of_the_commit(place, stage):
    with Participants(place) as participants:
        participants.answer = mixed(participants)
        doomed = place.worker(crash=f"{stage}:3")
        place.wait_logged(doomed, "shard_running")
        for wave in range(4):
            place.start_many([f"t-{wave}{n}" for n in range(10)], lambda _: trip_payload(place))
        assert doomed.wait(30) in {-signal.SIGKILL, -signal.SIGALRM}

        heir = place.worker()
        outcomes = place.wait_ended(40)

        place.stop(heir)
        assert sum(o.business == "rolled_back" for o in outcomes.values()) == 8
        place.check(participants, place.stored([0]))


def test_killed_while_a_timer_fires(place):
    with Participants(place) as participants:
        silent = set()

        def once_silent(command):
            if command.step == "room" and command.effect not in silent and command.attempt == 1:
                silent.add(command.effect)
                return None
            return participants.success(command)

        participants.answer = once_silent
        doomed = place.worker(crash="C15")
        place.start_many([f"t-{n}" for n in range(5)], lambda _: trip_payload(place))
        assert doomed.wait(30) == -signal.SIGKILL

        heir = place.worker()
        place.wait_ended(5)

        place.stop(heir)
        place.check(participants, place.stored([0]))


def test_restarted_without_its_store(place):
    with Participants(place) as participants:
        participants.answer = lambda c: None if c.step == "card" else participants.success(c)
        first = place.worker()
        place.start_many([f"t-{n}" for n in range(20)], lambda _: trip_payload(place))
        wait_until(lambda: sum(c.step == "card" for c in participants.seen) >= 20, "the charges")
        first.kill()
        first.wait()
        shutil.rmtree(place.folder / "state")
        participants.answer = None

        second = place.worker()
        outcomes = place.wait_ended(20)

        place.stop(second)
        assert {o.business for o in outcomes.values()} == {"completed"}
        place.check(participants, place.stored([0]))


def test_answers_that_lie_ready_are_read_before_timers_fire(place):
    with Participants(place) as participants:
        held = []
        participants.answer = held.append
        first = place.worker()
        place.start_many([f"t-{n}" for n in range(10)], lambda _: trip_payload(place))
        wait_until(lambda: len(held) == 10, "the seats to be asked for")
        place.stop(first)
        for command in held:
            participants.reply(command, participants.success(command))
        participants._producer.flush(10)
        due_ms = max(command.due_ms for command in held)
        wait_until(lambda: time.time() * 1_000 > due_ms, "every answer to be overdue")
        participants.answer = None

        second = place.worker()
        place.wait_ended(10)

        place.stop(second)
        events = [event for _, t in place.transitions() for event in t.events]
        assert not any(isinstance(event, AttemptFailed) for event in events)
        place.check(participants, place.stored([0]))


@pytest.mark.parametrize("point", ["C13", "C14"])
def test_killed_while_it_restores(place, point):
    with Participants(place) as participants:
        first = place.worker()
        place.start_many([f"t-{n}" for n in range(20)], lambda _: trip_payload(place))
        place.wait_ended(20)
        place.stop(first)
        shutil.rmtree(place.folder / "state")
        doomed = place.worker(crash=point)
        assert doomed.wait(30) == -signal.SIGKILL

        third = place.worker()
        place.start_many([f"u-{n}" for n in range(5)], lambda _: trip_payload(place))
        place.wait_ended(25)

        place.stop(third)
        place.check(participants, place.stored([0]))


def test_a_restore_that_was_cut_short_goes_on_where_it_was(place):
    with Participants(place) as participants:
        first = place.worker()
        place.start_many([f"t-{n}" for n in range(40)], lambda _: trip_payload(place))
        place.wait_ended(40)
        place.stop(first)
        shutil.rmtree(place.folder / "state")
        doomed = place.worker(crash="C13:4", settings={"restore_count_max": 10})
        assert doomed.wait(30) == -signal.SIGKILL
        positions = place.positions(0)
        left_count = sum(place.count_changelog(*each) for each in positions.items())

        third = place.worker()
        place.start_many([f"u-{n}" for n in range(5)], lambda _: trip_payload(place))
        place.wait_ended(45)

        place.stop(third)
        running = [line for line in place.log_of(third) if line["event"] == "shard_running"]
        assert any(positions.values())
        restored_count = sum(line["restored_count"] for line in running)
        assert 0 < restored_count <= left_count + place.partitions  # and a barrier each
        place.check(participants, place.stored([0]))


@pytest.mark.parametrize(("fault", "error"), [("lost", "Doubtful"), ("refused", "MustAbort")])
def test_the_changelog_says_what_became_of_a_transaction(place, fault, error):
    with Participants(place) as participants:
        participants.answer = mixed(participants)
        worker = place.worker(faults={fault: 7})
        for wave in range(4):
            place.start_many([f"t-{wave}{n}" for n in range(10)], lambda _: trip_payload(place))
            place.wait_ended(10 * (wave + 1))

        counted = place.stop(worker)[-1]
        # All may have ended by a transaction that failed for us alone: then the stop comes first.
        unanswered_count = counted["transaction_failures"][error] - counted["rotations_count"]
        assert unanswered_count in (0, 1)
        assert set(counted["transaction_failures"]) == {error}
        place.check(participants, place.stored([0]))


def test_an_input_that_no_transaction_can_carry_is_found_and_parked(place):
    with Participants(place) as participants:
        worker = place.worker(faults={"poison": "bad"})
        ids = [f"t-{n}" for n in range(20)]
        place.start_many([*ids[:10], "bad-1", *ids[10:]], lambda _: trip_payload(place))

        place.wait_ended(20)

        wait_until(place.dead_letters, "the dead letter")
        place.stop(worker)
        letters = place.dead_letters()
        assert [(letter.reason, letter.key) for _, letter in letters] == [("poison", b"bad-1")]
        place.check(participants, place.stored([0]))


def test_killed_between_two_producers(place):
    with Participants(place) as participants:
        doomed = place.worker(crash="C16", faults={"lost": 3})
        place.start_many([f"t-{n}" for n in range(30)], lambda _: trip_payload(place))
        assert doomed.wait(60) == -signal.SIGKILL

        heir = place.worker()
        place.wait_ended(30)

        place.stop(heir)
        place.check(participants, place.stored([0]))
