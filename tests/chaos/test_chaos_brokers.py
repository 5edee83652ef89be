"""M18, M21 to M26, M28: brokers die, stand still and come back under workers that stay up."""

from __future__ import annotations

import time

import psutil
import pytest
from cluster import (
    OFFSETS,
    TRANSACTIONS,
    coordinator,
    freeze_node,
    led_by,
    move_leaders,
    partitions,
    thaw_node,
    topics_of,
    wait_in_sync,
)
from town import PATIENCE_S, Town, wait_until

from orchestrator.errors import OrchestratorError
from orchestrator.local_kafka import LocalKafka

CPU_SHARE_MAX = 0.3
"""Of a core, for a process that can only wait. A busy loop takes all of it."""


@pytest.fixture(scope="module")
def single():
    """One broker that may be killed: nobody else's."""
    with LocalKafka() as started:
        yield started


@pytest.fixture
def village(single, topic_prefix, tmp_path):
    """An installation on one broker."""
    with Town(single, topic_prefix, tmp_path) as made:
        made.open_shop()
        yield made
    if not single.running_nodes:
        single.start_node(1)


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
        village.wait_ended()

    assert worker.code is None
    village.check()
    assert worker.lines("transaction_failed")


@pytest.mark.chaos
def test_nobody_spins_while_all_brokers_are_away(village):
    worker = village.worker()
    village.begin(24)
    village.wait_ended()
    village.begin(60)
    village.kafka.kill_node(1)
    wait_until(
        lambda: worker.lines("transaction_failed", "rotation_failed", "read_fault"), "the news"
    )

    shares = cpu_shares(village, over_s=20)

    village.kafka.start_node(1)
    village.begin(12)
    village.wait_ended()
    assert worker.code is None
    village.check()
    assert max(shares.values()) < CPU_SHARE_MAX, shares


def cpu_shares(town, over_s):
    """How much of a core each process takes, by name."""
    watched = {p.name: psutil.Process(p.popen.pid) for p in town.processes if p.code is None}
    before = {name: process.cpu_times() for name, process in watched.items()}
    time.sleep(over_s)  # how long they wait is what is measured
    return {
        name: (sum(process.cpu_times()[:2]) - sum(before[name][:2])) / over_s
        for name, process in watched.items()
    }


def stop_all(town):
    """Stop everything after some work, the only broker last."""
    town.worker()
    town.begin(24)
    town.wait_ended()
    town.stop()
    town.kafka.stop_node(1)


@pytest.mark.chaos
def test_who_starts_while_brokers_are_away_waits_and_says_why(village):
    stop_all(village)
    late = [village.worker(), village.participant("bank"), village.participant("post")]
    for process in late:
        (line, *_) = process.wait_logged("waiting_for_brokers")
        assert village.kafka.bootstrap_servers in line["text"]

    village.kafka.start_node(1)

    village.begin(24)
    village.wait_ended()
    assert [process.code for process in late] == [None] * 3
    village.check()


@pytest.mark.chaos
def test_who_waits_for_brokers_can_be_stopped(village):
    stop_all(village)
    late = [village.worker(), village.participant("bank")]
    for process in late:
        process.wait_logged("waiting_for_brokers")

    village.stop(*late)


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


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_workers_go_on_when_each_leader_in_turn_goes(city, how):
    worker = city.worker()
    city.begin(24)
    city.wait_ended()
    names, moved = topics_of(city), set()

    for node in [node.id for node in city.kafka.nodes]:
        wait_in_sync(city.kafka)
        led = led_by(city.kafka, node, names)
        city.begin(48)
        city.kafka.kill_node(node) if how == "killed" else city.kafka.stop_node(node)
        city.begin(48)
        city.wait_ended()
        moved |= {topic for topic, _ in led - led_by(city.kafka, node, names)}
        city.kafka.start_node(node)

    assert worker.code is None
    city.begin(12)
    city.wait_ended()
    city.check()
    assert moved == set(names)


@pytest.mark.parametrize("whose", ["records", "coordinators"])
def test_workers_go_on_while_leaders_change_again_and_again(city, whose):
    worker = city.worker()
    city.begin(24)
    city.wait_ended()
    wait_in_sync(city.kafka)
    coordinators = [OFFSETS, TRANSACTIONS]
    names = [n for n in topics_of(city) if (n in coordinators) == (whose == "coordinators")]
    moves_count = 0

    for turn in range(12):
        before = partitions(city.kafka, names)
        city.begin(24)
        move_leaders(city.kafka, names, turn)
        after = partitions(city.kafka, names)
        moves_count += sum(before[place].leader != after[place].leader for place in before)
    city.wait_ended()

    assert worker.code is None
    city.check()
    assert moves_count > 12


def test_nothing_acknowledged_is_lost_when_two_of_three_brokers_are_away(city):
    worker = city.worker()
    city.begin(24)
    city.wait_ended()
    wait_in_sync(city.kafka)
    away = [1, 2]

    city.begin(60)
    for node in away:
        city.kafka.kill_node(node)
    with pytest.raises(OrchestratorError):
        city.begin(12)
    # If its session ends before it rotates, it waits for a coordinator instead.
    wait_until(
        lambda: worker.lines("rotation_failed") or worker.lines("abort_failed"), "a failure"
    )
    city.look(1.0)
    ended_count = len(city.ended)
    city.look(1.0)
    assert len(city.ended) == ended_count  # nobody could have committed
    for node in away:
        city.kafka.start_node(node)

    city.begin(24)
    city.wait_ended()
    assert worker.code is None
    city.check()


def test_workers_go_on_while_a_broker_stands_still(city):
    worker = city.worker()
    city.begin(24)
    city.wait_ended()
    wait_in_sync(city.kafka)
    node, names = coordinator(city, "transaction"), topics_of(city)
    led = led_by(city.kafka, node, names)

    city.begin(60)
    freeze_node(city.kafka, node)
    try:
        timed_out = wait_until(lambda: timeouts(worker), "a request without an answer")
        city.begin(60)
        # Each of several clients in a row finds out by a request of its own that waits for 10 s.
        city.wait_ended(2 * PATIENCE_S)
        assert led - led_by(city.kafka, node, names) == led
    finally:
        thaw_node(city.kafka, node)

    wait_in_sync(city.kafka)
    city.begin(24)
    city.wait_ended()
    assert worker.code is None
    city.check()
    assert timed_out


def timeouts(worker):
    """Requests of a worker that no broker has answered."""
    lines = worker.lines("kafka_client", "transaction_failed", "rotation_failed")
    return [line for line in lines if "imed out" in line.get("text", "")]
