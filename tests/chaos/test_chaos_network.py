"""M18, M31 to M33: the network between workers and three brokers, lossy, slow, or gone on one side.

Workers come through the frame proxy, which stands before each broker; who judges does not.
"""

from __future__ import annotations

import pytest
import traffic
from cluster import coordinator, lead_elsewhere, led_by, wait_in_sync

from orchestrator.testing.frame_proxy import Api, Direction

QUICK_NETWORK = {"socket_timeout_ms": 1_000}
CONCURRENT_TRANSACTIONS = 51
IN_FLIGHT_COUNT = 7_000
"""Of a third more, accounts would be empty before the last saga."""
NARROW_BYTES_PER_S = 3_000_000 // 8
CODE_AT = 9
"""Where the answer to `InitProducerId` has its code: behind correlation id, tags, throttle time."""


@pytest.fixture
def worker(city):
    """A worker behind the proxy that has ended sagas already."""
    started = city.worker(proxied=True, kafka=QUICK_NETWORK)
    city.begin(24)
    city.wait_ended()
    wait_in_sync(city.kafka)
    return started


def codes(catch):
    """What brokers answered to the `InitProducerId` requests that were caught."""
    return {int.from_bytes(a.body[CODE_AT : CODE_AT + 2], "big") for a in catch.answers}


def test_a_rotation_goes_on_when_its_coordinator_dies_in_the_middle(city, proxy, worker):
    node = coordinator(city, "transaction")
    held = proxy.hold(Api.INIT_PRODUCER_ID, client=city.prefix)
    lost = proxy.drop(Api.END_TXN, client=city.prefix)
    city.begin(24)
    lost.wait()
    held.wait()
    city.kafka.kill_node(node)
    held.release()

    city.begin(24)
    city.wait_ended()

    assert worker.code is None
    assert coordinator(city, "transaction") != node
    assert not held.answers  # it went down with whom it was meant for
    assert worker.lines("producer_rotated")
    city.check()


def test_a_rotation_waits_for_what_a_dead_leader_keeps_open(city, proxy, worker):
    leader = another_leader(city, coordinator(city, "transaction"))
    asked = proxy.watch(Api.INIT_PRODUCER_ID, client=f"{city.prefix}-000", count=None)
    held = proxy.hold(Api.INIT_PRODUCER_ID, client=city.prefix, count=None)
    lost = proxy.drop(Api.END_TXN, client=city.prefix, count=None)
    city.begin(24)
    held.wait()
    city.kafka.kill_node(leader)
    lost.release()
    held.release()

    city.begin(24)
    city.wait_ended()

    assert worker.code is None
    assert CONCURRENT_TRANSACTIONS in codes(asked)
    city.check()


def another_leader(city, node):
    """A broker other than this one that leads a partition of every transaction."""
    topics = [city.topics.changelog, city.topics.events]
    others = [each.id for each in city.kafka.nodes if each.id != node]
    return max(others, key=lambda other: len(led_by(city.kafka, other, topics)))


def node_address(kafka, node):
    """Where workers behind the proxy reach a broker."""
    (address,) = [each.advertised for each in kafka.nodes if each.id == node]
    return address


@pytest.mark.parametrize("role", ["group", "transaction"])
def test_a_worker_cut_off_from_a_coordinator_alone_comes_back(city, proxy, worker, role):
    other = city.worker(1)
    worker.wait_logged("rebalance", 2)
    other.wait_logged("shard_running")
    node = coordinator(city, role)
    lead_elsewhere(city.kafka, node, [city.topics.commands])  # or it could not begin a transaction
    proxy.cut(node_address(city.kafka, node))
    city.begin(24)
    worker.wait_logged("transaction_failed")
    city.begin(24)
    if role == "group":
        other.wait_logged("fenced_dead_predecessor")
        city.wait_ended()
    proxy.mend()

    city.begin(24)
    city.wait_ended()
    assert worker.code is None
    city.check()


def test_answers_that_do_not_come_while_requests_arrive(city, proxy, worker):
    held = proxy.hold(Api.PRODUCE, client=f"{city.prefix}-000")
    city.begin(24)
    held.wait()  # in the middle of a transaction
    lost = proxy.drop(None, Direction.RESPONSE, client=city.prefix, count=None)
    held.release()
    worker.wait_logged("transaction_failed")
    city.begin(24)
    worker.wait_logged("rebalance", 2)  # its session is lost
    lost.release()

    city.begin(24)
    city.wait_ended()
    assert worker.code is None
    assert {Api.PRODUCE, Api.FETCH, Api.HEARTBEAT} <= {frame.api for frame in lost.frames}
    city.check()


@pytest.fixture
def distant(city):
    """A worker behind the proxy; so are the participants."""
    for process in city.processes:
        process.kill()  # others take their place
    for name in ("bank", "post"):
        city.participant(name, proxied=True)
    return city.worker(proxied=True)


def test_everything_ends_on_a_slow_network(city, proxy, distant, record_property):
    quick = traffic.rate(city, IN_FLIGHT_COUNT)
    city.wait_ended()
    distant.wait_logged("counters", len(distant.lines("counters")) + 1)  # of the quick ones, too
    before = distant.lines("counters")[-1]
    proxy.slow_down(delay_ms=100)
    slow = traffic.rate(city, IN_FLIGHT_COUNT)
    city.wait_ended()
    proxy.mend()

    record_property("quick_per_s", quick)
    record_property("slow_per_s", slow)
    assert distant.code is None
    city.check()
    (after,) = distant.lines("worker_stopped")
    commits_count = after["transactions_count"] - before["transactions_count"]
    took_ms = after["stages_ms"]["commit"] - before["stages_ms"]["commit"]
    assert took_ms / commits_count > 2 * 200  # positions and end: two round trips at least


def test_everything_ends_when_a_slow_network_becomes_narrow(city, proxy, distant, record_property):
    proxy.slow_down(delay_ms=100)
    traffic.keep_in_flight(city, IN_FLIGHT_COUNT)  # transactions become as large as they ever are
    doubts_count = len(distant.lines("transaction_failed"))
    proxy.slow_down(delay_ms=100, bytes_per_s=NARROW_BYTES_PER_S)
    traffic.keep_in_flight(city, IN_FLIGHT_COUNT)
    proxy.mend()

    city.wait_ended()
    record_property("doubts_count", len(distant.lines("transaction_failed")) - doubts_count)
    assert distant.code is None
    city.check()
