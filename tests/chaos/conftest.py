"""A broker of their own for the fault tests, with the frame proxy before its second listener."""

from __future__ import annotations

import pytest
from town import Town

from orchestrator.local_kafka import LocalKafka
from orchestrator.testing.frame_proxy import FrameProxy

SYSTEM_FIXTURES = {
    "broker",
    "town",
    "desk",
    "village",
    "city",
    "fort",
    "hamlet",
    "trio",
    "harbour",
    "outpost",
}
LONG = {
    "test_chaos_crashes",
    "test_chaos_distance",
    "test_chaos_fences",
    "test_chaos_groups",
    "test_chaos_load",
    "test_chaos_protocol",
    "test_chaos_refusals",
    "test_chaos_replies",
    "test_chaos_schemas",
    "test_chaos_sizes",
    "test_chaos_timers",
    "test_chaos_upgrade",
    "test_chaos_world",
    "test_chaos_zombies",
}
"""Minutes of faults against whole installations: `make chaos`, not `make test`."""

ASKING = """

class Ask(Command[Done], to=post):
    account: str


@Ask.handler
def on_ask(command: Ask, tables: Transaction) -> Done:
    return Done()


@step(within=minutes(30), retry=Retry(attempts=1), irreversible=True)
def ask(transfer: Transfer) -> Ask:
    return Ask(transfer.target)


@saga(version=1, deadline=minutes(600))
def wait(flow: Flow, transfer: Later[Transfer]) -> None:
    flow.do(ask(transfer))
"""


class AskingTown(Town):
    """A town with sagas that wait for half an hour."""

    def _write_program(self):
        path = super()._write_program()
        path.write_text(path.read_text() + ASKING)
        return path


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
    with Town(three, topic_prefix, tmp_path, profile="production") as made:
        made.open_shop()
        yield made
        proxy.clear()
        proxy.mend()
    for node in three.nodes:
        if node not in three.running_nodes:
            three.start_node(node.id)


@pytest.fixture
def town(broker, topic_prefix, tmp_path):
    """An installation with a bank and a post office, no worker yet."""
    with Town(broker, topic_prefix, tmp_path) as made:
        made.open_shop()
        yield made


@pytest.fixture
def hamlet(broker, topic_prefix, tmp_path):
    """An installation with sagas that ask the post office and wait long, no worker yet."""
    with AskingTown(broker, topic_prefix, tmp_path) as made:
        made.open_shop()
        yield made
