"""A broker of their own for the fault tests, with the frame proxy before its second listener."""

from __future__ import annotations

import pytest
from town import Town

from orchestrator.local_kafka import LocalKafka
from orchestrator.testing.frame_proxy import FrameProxy

SYSTEM_FIXTURES = {"broker", "town", "desk", "village", "city"}
LONG = {
    "test_chaos_crashes",
    "test_chaos_protocol",
    "test_chaos_world",
    "test_chaos_zombies",
    "test_chaos_fences",
    "test_chaos_groups",
    "test_chaos_load",
}
"""Minutes of faults against whole installations: `make chaos`, not `make test`."""


def pytest_collection_modifyitems(items):
    for item in items:
        if SYSTEM_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.system)
        if item.path.stem in LONG or "city" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def wire():
    """The frame proxy of the session; use `proxy`, which leaves no rule behind."""
    with FrameProxy() as proxy:
        yield proxy


@pytest.fixture
def proxy(wire):
    """The frame proxy before the broker, with no rule of an earlier test."""
    yield wire
    wire.clear()
    wire.mend()


@pytest.fixture(scope="session")
def broker(wire):
    """One broker; `broker.advertised_servers` is behind the frame proxy."""
    with LocalKafka(advertised=wire.route) as started:
        yield started


@pytest.fixture(scope="session")
def three(wire):
    """Three brokers, replication 3, two in sync; `three.advertised_servers` is behind the proxy."""
    with LocalKafka(3, advertised=wire.route) as started:
        yield started


@pytest.fixture
def city(three, proxy, topic_prefix, tmp_path):
    """An installation on three brokers, all of which are there in the end."""
    made = Town(three, topic_prefix, tmp_path, profile="production")
    made.open_shop()
    yield made
    proxy.clear()
    proxy.mend()
    made.close()
    for node in three.nodes:
        if node not in three.running_nodes:
            three.start_node(node.id)


@pytest.fixture
def town(broker, topic_prefix, tmp_path):
    """An installation with a bank and a post office, no worker yet."""
    made = Town(broker, topic_prefix, tmp_path)
    made.open_shop()
    yield made
    made.close()
