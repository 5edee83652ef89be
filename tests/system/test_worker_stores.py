"""Local stores are a cache: broken, stale or contradicting ones never win against Kafka."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Consumer, TopicPartition
from worker_kit import Installation, Participants, trip_payload, wait_until

from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.runtime.main import RocksStores
from orchestrator.runtime.settings import instance_id
from orchestrator.store.base import Batch
from orchestrator.store.rocks import StoreSettings


@pytest.fixture
def place(kafka, topic_prefix, tmp_path):
    made = Installation(kafka.bootstrap_servers, topic_prefix, tmp_path)
    yield made
    made.close()


def run_once(place, ids):
    """Let a worker finish these sagas and stop."""
    worker = place.worker()
    before = len(place.outcomes())
    place.start_many(ids, lambda _: trip_payload(place))
    place.wait_ended(before + len(ids))
    return place.stop(worker)


def events(log, name):
    return [line for line in log if line["event"] == name]


def test_a_broken_store_is_set_aside_and_rebuilt(place):
    with Participants(place) as participants:
        run_once(place, [f"t-{n}" for n in range(10)])
        folder = place.folder / "state" / instance_id(place.prefix, 0) / "000"
        for file in folder.glob("MANIFEST-*"):
            file.write_bytes(file.read_bytes()[:10] + b"\xff" * 50)

        log = run_once(place, ["u-1", "u-2"])

        (aside,) = events(log, "store_set_aside")
        assert (aside["shard"], aside["reason"]) == (0, "corrupt")
        place.check(participants, place.stored([0]))


def test_a_store_ahead_of_its_changelog_is_not_believed(place):
    with Participants(place) as participants:
        run_once(place, [f"t-{n}" for n in range(10)])
        stores = RocksStores(
            place.folder / "state" / instance_id(place.prefix, 0), StoreSettings()
        )
        store = stores.open(0)
        store.apply(Batch(store.position() + 1_000, store.synced_at_ms(), puts={"ghost": b"x"}))
        store.close()
        stores.close()

        log = run_once(place, ["u-1", "u-2"])

        (aside,) = events(log, "store_set_aside")
        assert (aside["shard"], aside["reason"]) == (0, "ahead")
        place.check(participants, place.stored([0]))


def test_a_torn_shard_is_halted_and_the_others_go_on(place):
    with Participants(place) as participants:
        run_once(place, [f"t-{n}" for n in range(10)])
        meddler = Consumer(
            {"bootstrap.servers": place.bootstrap_servers, "group.id": place.prefix}
        )

        def meddled():
            # A static member stays in the group until its session ends; then anybody may commit.
            members = place.admin.members(place.prefix)
            return not members or None

        wait_until(meddled, "the group to be empty")
        topic = place.topics.commands
        meddler.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
        meddler.close()

        worker = place.worker()
        halted = place.wait_logged(worker, "shard_halted")
        assert (halted["shard"], halted["reason"]) == (0, "torn")
        assert halted["operator_action"]
        homes = {f"u-{n}": partition_of(f"u-{n}".encode(), 2) for n in range(20)}
        good = [saga for saga, home in homes.items() if home == 1]
        place.start_many(good, lambda _: trip_payload(place))
        place.wait_ended(10 + len(good))
        shown = place.saga("shards", "--json")
        states = [(s["state"], s["reason"]) for s in json.loads(shown.stdout)["shards"]]
        assert states == [("halted", "torn"), ("running", None)]
        assert shown.returncode == 1
        place.stop(worker)
        place.check(participants)


def test_rolling_restarts_under_load_lose_and_repeat_nothing(place):
    with Participants(place) as participants:
        workers = [place.worker(0), place.worker(1)]
        for worker in workers:
            place.wait_logged(worker, "shard_running")
        for wave in range(3):
            ids = [f"t-{wave}-{n}" for n in range(60)]
            place.start_many(ids, lambda _: trip_payload(place))
            for ordinal in (0, 1):
                place.stop(workers[ordinal])
                workers[ordinal] = place.worker(ordinal)

        place.wait_ended(180)

        for worker in workers:
            place.stop(worker)
        effects = [command.effect for command in participants.seen]
        assert len(effects) == len(set(effects))
        place.check(participants)
