"""M31 at the consumer itself: a member whose coordinator is silent for longer than its session."""

from __future__ import annotations

import pytest
from town import wait_until

from orchestrator.errors import Fenced
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Assigned, Lost, TopicSpec
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.source import KafkaSource
from orchestrator.testing.frame_proxy import Api, Direction

FENCED_INSTANCE_ID = 82
CODE_AT = 8
"""Where the answer to a heartbeat has its code: behind correlation id and throttle time."""


@pytest.fixture
def join(broker, topic_prefix):
    """Joins a group behind the proxy, always under the same name; gives the member."""
    topic, made = f"{topic_prefix}.in", []
    admin = KafkaAdmin(KafkaSettings(bootstrap_servers=broker.bootstrap_servers))
    admin.create([TopicSpec(topic, 1, 1, {})])
    wait_until(lambda: admin.topics([topic]), "the topic")

    def joined():
        source = KafkaSource(
            KafkaSettings(bootstrap_servers=broker.advertised_servers, socket_timeout_ms=1_000),
            group=f"{topic_prefix}.g",
            instance_id=f"{topic_prefix}-member",
            topics=[topic],
            session_timeout_ms=6_000,
        )
        made.append(source)
        wait_until(lambda: changes(source, Assigned), "the assignment")
        return source

    yield joined
    for source in made:
        source.close()


def changes(source, kind):
    """The changes of the group of one kind that a poll gives."""
    return [r for r in source.poll_batch(1, 0.05).rebalances if isinstance(r, kind)]


def fenced(heartbeats):
    """Whether a heartbeat was answered so."""
    codes = {int.from_bytes(a.body[CODE_AT : CODE_AT + 2], "big") for a in heartbeats.answers}
    return FENCED_INSTANCE_ID in codes


def test_a_member_that_gave_itself_up_joins_anew(join, proxy, topic_prefix):
    source = join()
    heartbeats = proxy.watch(Api.HEARTBEAT, client=topic_prefix, count=None)
    lost = proxy.drop(Api.HEARTBEAT, Direction.RESPONSE, client=topic_prefix, count=None)
    # It does not poll meanwhile, like a worker that looks for its other coordinator.
    wait_until(lambda: fenced(heartbeats), "the library to forget who it is")
    lost.release()

    wait_until(lambda: changes(source, Lost), "the loss")

    wait_until(lambda: changes(source, Assigned), "another assignment")
    assert source.group_metadata().live


def test_a_member_whose_name_another_took_is_fenced_for_good(join):
    first = join()
    join()

    with pytest.raises(Fenced):
        wait_until(lambda: changes(first, Lost), "the end")
