"""Several workers share the shards: joining, dying, and being frozen."""

from __future__ import annotations

import signal
from itertools import islice

import pytest
from worker_kit import Installation, Participants, trip_payload, wait_until

from orchestrator.kafka.partitioner import partition


@pytest.fixture
def place(kafka, topic_prefix, tmp_path):
    made = Installation(kafka.bootstrap_servers, topic_prefix, tmp_path)
    yield made
    made.close()


def running_shards(place, worker):
    """Shards that a worker runs, by its log since its last rebalance."""
    found = set()
    for line in place.log_of(worker):
        if line["event"] == "rebalance":
            found = set()
        elif line["event"] == "shard_running":
            found.add(line["shard"])
    return found


def test_a_second_worker_takes_half_in_the_middle_of_the_work(place):
    with Participants(place) as participants:
        first = place.worker(0)
        place.wait_logged(first, "shard_running")
        place.start_many([f"t-{n}" for n in range(100)], lambda _: trip_payload(place))
        second = place.worker(1)
        place.wait_logged(second, "shard_running")
        place.start_many([f"u-{n}" for n in range(100)], lambda _: trip_payload(place))

        place.wait_ended(200)

        assert running_shards(place, first) == {0}
        assert running_shards(place, second) == {1}
        place.stop(first)
        place.stop(second)
        stores = {**place.stored([0], [0]), **place.stored([1], [1])}
        place.check(participants, stores)


def test_a_shard_that_is_given_up_takes_the_suspicion_of_its_inputs_with_it(place):
    """Else a worker would take one input a transaction for ever, waiting to see them committed."""

    def of_shard(shard, name, count):
        ids = (f"{name}-{n}" for n in range(100 * count))
        return list(islice((i for i in ids if partition(i.encode(), 2) == shard), count))

    def counters(log):
        return [line for line in log if "stages_ms" in line][-1]

    with Participants(place) as participants:
        first = place.worker(0, faults={"poison": "bad"})
        place.wait_logged(first, "shard_running")
        place.start_many(of_shard(1, "bad", 40), lambda _: trip_payload(place))
        place.wait_logged(first, "producer_rotated")
        second = place.worker(1)
        place.wait_logged(second, "shard_running")
        place.wait_ended(1)
        place.wait_logged(first, "counters")
        before = counters(place.log_of(first))

        place.start_many(of_shard(0, "t", 200), lambda _: trip_payload(place))
        place.wait_ended(240 - len(place.dead_letters()))

        after = counters(place.stop(first))
        inputs_count, transactions_count = (
            after.get(name, 0) - before.get(name, 0)
            for name in ("inputs_count", "transactions_count")
        )
        assert inputs_count >= 800
        assert inputs_count > 4 * transactions_count
        place.stop(second)
        stores = {**place.stored([0], [0]), **place.stored([1], [1])}
        place.check(participants, stores)


def test_a_lost_worker_is_succeeded_by_the_other(place):
    with Participants(place) as participants:
        first, doomed = place.worker(0), place.worker(1, crash="C06:4")
        wait_until(lambda: running_shards(place, doomed) == {1}, "a shard each")
        for wave in range(6):
            ids = [f"t-{wave}{n}" for n in range(20)]
            place.start_many(ids, lambda _: trip_payload(place))
        assert doomed.wait(30) == -signal.SIGKILL

        place.wait_ended(120)

        wait_until(lambda: running_shards(place, first) == {0, 1}, "both shards at the first")
        log = place.stop(first)
        assert any(line["event"] == "fenced_dead_predecessor" for line in log)
        place.check(participants, place.stored([0]))


def test_killed_while_its_shards_are_taken_back(place):
    with Participants(place) as participants:
        doomed = place.worker(0, crash="C12:2")
        place.wait_logged(doomed, "shard_running")
        place.start_many([f"t-{n}" for n in range(40)], lambda _: trip_payload(place))
        second = place.worker(1)
        assert doomed.wait(30) == -signal.SIGKILL
        again = place.worker(0)

        place.wait_ended(40)

        place.stop(again)
        place.stop(second)
        place.check(participants)


def test_a_frozen_worker_wakes_up_to_nothing(place):
    with Participants(place) as participants:
        first, zombie = place.worker(0), place.worker(1, crash="C06:4:stop")
        wait_until(lambda: running_shards(place, zombie) == {1}, "a shard each")
        for wave in range(6):
            ids = [f"t-{wave}{n}" for n in range(20)]
            place.start_many(ids, lambda _: trip_payload(place))

        place.wait_ended(120)
        zombie.send_signal(signal.SIGCONT)
        place.start_many([f"u-{n}" for n in range(20)], lambda _: trip_payload(place))
        place.wait_ended(140)

        wait_until(lambda: running_shards(place, zombie) == {1}, "the zombie to join again")
        place.stop(first)
        place.stop(zombie)
        place.check(participants)


def test_two_processes_with_one_identity_do_no_harm(place):
    with Participants(place) as participants:
        first = place.worker(0)
        place.wait_logged(first, "shard_running")
        place.start_many([f"t-{n}" for n in range(20)], lambda _: trip_payload(place))
        place.wait_ended(20)
        twin = place.worker(0)

        code = twin.wait(30)

        assert code != 0
        assert "data_dir" in twin.log.read_text()
        place.start_many([f"u-{n}" for n in range(5)], lambda _: trip_payload(place))
        place.wait_ended(25)
        place.stop(first)
        place.check(participants, place.stored([0]))
