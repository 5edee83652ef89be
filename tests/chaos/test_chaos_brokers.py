"""M21, M23, M25: brokers die and come back under workers that stay up."""

from __future__ import annotations

import time

import pytest
from confluent_kafka.admin import AdminClient
from town import PATIENCE_S, Town, wait_until

from orchestrator.local_kafka import LocalKafka

SHUT_OUT = "fenced by other consumer with same group.instance.id"


@pytest.fixture(scope="module")
def single():
    """One broker that may be killed: nobody else's."""
    with LocalKafka() as started:
        yield started


@pytest.fixture(scope="module")
def three():
    """Three brokers, replication 3, two in sync."""
    with LocalKafka(3) as started:
        yield started


def shop(kafka, prefix, folder, profile):
    made = Town(kafka, prefix, folder, profile=profile)
    made.open_shop()
    return made


@pytest.fixture
def village(single, topic_prefix, tmp_path):
    """An installation on one broker."""
    made = shop(single, topic_prefix, tmp_path, "development")
    yield made
    made.close()


@pytest.fixture
def city(three, topic_prefix, tmp_path):
    """An installation on three."""
    made = shop(three, topic_prefix, tmp_path, "production")
    yield made
    made.close()


def test_workers_go_on_when_the_only_broker_was_killed_and_came_back(village):
    worker = village.worker()
    village.begin(24)
    village.wait_ended(share=0.5)

    for _ in range(2):
        village.begin(60)
        village.wait_ended(share=0.7)
        village.kafka.kill_node(1)
        village.kafka.start_node(1)
        village.begin(12)
        supervise(village)

    village.check()
    assert worker.lines("transaction_failed")


def supervise(town):
    """Let all sagas end; who is shut out by the broker is started anew, as supervisors do.

    The answer to a static member's join that dies with the broker is enough for that: the broker has
    given the name to the member it has just made, which has never heard of it.
    """
    deadline_s = time.monotonic() + PATIENCE_S
    while town.open_count:
        town.look()
        newest = {process.name: process for process in town.processes}
        for name, process in newest.items():
            if process.code is not None:
                assert SHUT_OUT in process.log.read_text()
                town.worker() if name == "worker-0" else town.participant(name)
        assert time.monotonic() < deadline_s, town.report()


@pytest.mark.parametrize("role", ["group", "transaction"])
def test_workers_go_on_when_a_coordinator_was_killed(city, role):
    worker = city.worker()
    city.begin(24)
    city.wait_ended()
    rotations = len(worker.lines("producer_rotated"))
    node = coordinator(city, role)

    city.begin(60)
    city.kafka.kill_node(node)
    city.begin(60)
    city.wait_ended()

    assert coordinator(city, role) != node
    assert worker.code is None
    city.kafka.start_node(node)
    city.begin(12)
    city.wait_ended()
    city.check()
    assert len(worker.lines("producer_rotated")) > rotations


def coordinator(town, role):
    """The node that coordinates the group, or that leads the transactions of worker 0."""
    admin = AdminClient({"bootstrap.servers": town.kafka.bootstrap_servers})
    if role == "group":
        futures = admin.describe_consumer_groups([town.prefix], request_timeout=10)
        return wait_until(lambda: futures[town.prefix].result(10).coordinator, "coordinator").id
    topic, count = "__transaction_state", transaction_partitions(admin)
    partition = java_hash(f"{town.prefix}-000") % count
    return admin.list_topics(topic, timeout=10).topics[topic].partitions[partition].leader


def transaction_partitions(admin):
    """How many partitions the transactions' log has."""
    topic = "__transaction_state"
    return len(admin.list_topics(topic, timeout=10).topics[topic].partitions)


def java_hash(text):
    """The hash by which brokers choose a transactional id's partition, without its sign."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFF_FFFF
    return value & 0x7FFF_FFFF
