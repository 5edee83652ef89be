"""A worker may die at any instant: killed at each stage of the commit, by name."""

from __future__ import annotations

import shutil
import signal

import pytest
from worker_kit import Installation, Participants, trip_payload, wait_until

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


def test_a_doubtful_commit_is_looked_up_instead_of_repeated(place):
    with Participants(place) as participants:
        participants.answer = mixed(participants)
        # Every commit is slower than 10 ms now and then: each of those costs a producer.
        worker = place.worker(transactions={"commit_doubt_ms": 10})
        for wave in range(3):
            place.start_many([f"t-{wave}{n}" for n in range(10)], lambda _: trip_payload(place))

        place.wait_ended(30, patience_s=120)

        log = place.stop(worker)
        counted = log[-1]
        assert counted["rotations_count"] >= 1
        assert set(counted["transaction_failures"]) == {"Doubtful"}
        place.check(participants, place.stored([0]))


def test_killed_between_two_producers(place):
    with Participants(place) as participants:
        doomed = place.worker(crash="C16", transactions={"commit_doubt_ms": 10})
        place.start_many([f"t-{n}" for n in range(30)], lambda _: trip_payload(place))
        assert doomed.wait(60) == -signal.SIGKILL

        heir = place.worker()
        place.wait_ended(30)

        place.stop(heir)
        place.check(participants, place.stored([0]))
