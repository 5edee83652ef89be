"""One Kafka for the whole session, shared by every test that asks for it."""

from __future__ import annotations

import os
import uuid
from contextlib import closing
from itertools import count

import hypothesis
import pytest

from orchestrator.kafka.registry import ConfluentRegistry
from orchestrator.local_kafka import LocalKafka, LocalRegistry, run_tool
from orchestrator.local_kafka.docker import engine_problem

BOOTSTRAP_SERVERS = "SAGA_TEST_BOOTSTRAP_SERVERS"
BACKEND = "SAGA_TEST_KAFKA"
# A busy machine is no failure.
hypothesis.settings.register_profile("any_speed", deadline=None)
hypothesis.settings.load_profile("any_speed")
_SYSTEM_FIXTURES = {"docker", "kafka", "schema_registry"}


class ExistingKafka:
    """A cluster that somebody else runs, named in SAGA_TEST_BOOTSTRAP_SERVERS."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers

    def run_tool(self, name, *arguments, **options):
        """Run one of Kafka's own tools against it."""
        return run_tool(name, self.bootstrap_servers, *arguments, **options)


def skip_without_docker():
    problem = engine_problem()
    if problem:
        pytest.skip(problem)


def pytest_collection_modifyitems(items):
    """Mark what needs a broker, so that `-m 'not system'` is the quick half."""
    for item in items:
        if _SYSTEM_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def kafka():
    """The session's broker: `kafka.bootstrap_servers`. Use `topic_prefix` to keep tests apart."""
    existing = os.environ.get(BOOTSTRAP_SERVERS)
    if existing:
        yield ExistingKafka(existing)
        return
    backend = os.environ.get(BACKEND, "process")
    if backend == "docker":
        skip_without_docker()
    with LocalKafka(backend=backend) as started:
        yield started


@pytest.fixture(scope="session")
def docker():
    """Skips, saying why, where no Docker engine answers."""
    skip_without_docker()


@pytest.fixture(scope="session")
def schema_registry():
    """The session's Confluent-compatible schema registry: `schema_registry.url`."""
    with LocalRegistry() as started:
        _use_up(started.url, ord("\r"))
        yield started


def _use_up(url, last_id):
    """Give ids away: a schema with that of a line break cannot be sent as a line."""
    with closing(ConfluentRegistry(url)) as registry:
        for number in count():
            filler = {"type": "record", "name": f"Filler{number}", "fields": []}
            if registry.register(f"filler-{number}", filler) >= last_id:
                return


@pytest.fixture
def topic_prefix(request):
    """A prefix for topics and groups that no other test and no earlier run uses."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:40].strip("-")
    return f"{name}-{uuid.uuid4().hex[:8]}"
