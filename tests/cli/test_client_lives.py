"""Waiting with a receipt: the life that took the command, and no other, on a real Kafka.

No worker runs: the test writes what one would write.
"""

from __future__ import annotations

import pytest

from orchestrator import topics
from orchestrator.client import Client
from orchestrator.codec.envelope import Origin, Record
from orchestrator.codec.records import Cause, Outcome, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core import events as e
from orchestrator.core.commands import StartSaga
from orchestrator.core.state import Consistency, Phase
from orchestrator.errors import CommandRejected, TimedOut
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.topics import Topics, TopicSettings

CODEC = RecordCodec()
START = StartSaga("trip-1", "rent", 1, b"{}")
STARTED = e.SagaStarted("trip-1", "rent", 1, 5, 1, 0, 1_000, 9_000, b"12345678", b"{}")
CONSISTENT = Consistency.CONSISTENT
WAIT_S = 30.0


class Log:
    """The topics of an installation in which the test is the worker."""

    def __init__(self, servers, prefix):
        self.kafka = KafkaSettings(bootstrap_servers=servers)
        self.topics = Topics(prefix)
        settings = TopicSettings(partitions=1, profile=topics.Profile.DEVELOPMENT)
        KafkaAdmin(self.kafka).create(topics.specs(self.topics, (), settings))
        self.client = Client(servers, prefix=prefix)

    def write(self, topic, value):
        producer = PlainProducer(self.kafka, "test")
        producer.send([Record(topic, 0, b"trip-1", value)])
        producer.close()

    def transition(self, sequence, *events, origin=Origin("saga.replies.x", 0, 1)):  # noqa: B008
        cause = Cause("start", origin, "")
        found = Transition("trip-1", sequence, 1_000 + sequence, cause, 0, events)
        self.write(self.topics.events, CODEC.encode_transition(found))

    def life(self, origin, phase):
        self.transition(1, STARTED, origin=origin)
        self.transition(2, e.SagaEnded(phase, CONSISTENT, 99_000, b""))

    def outcome(self, business):
        found = Outcome("trip-1", "rent", 1, business, "consistent", 2, 1_000, 1_002, b"")
        self.write(self.topics.outcomes, CODEC.encode_outcome(found))


@pytest.fixture
def log(kafka, topic_prefix):
    found = Log(kafka.bootstrap_servers, topic_prefix)
    with found.client:
        yield found


def turned_back(log):
    """An earlier life of this id, which was rolled back and is forgotten."""
    log.transition(1, STARTED)
    log.transition(2, e.CompensationStarted("deadline", -1, "", ""))
    log.transition(3, e.SagaEnded(Phase.ROLLED_BACK, CONSISTENT, 99_000, b""))
    log.transition(4, e.SagaForgotten())
    log.outcome("rolled_back")


def test_an_earlier_lifes_outcome_is_not_given(log):
    turned_back(log)
    receipt = log.client.send(START)
    with pytest.raises(TimedOut, match="no worker has taken"):
        log.client.wait(receipt, timeout_s=0.5)
    log.life(receipt.origin, Phase.COMPLETED)

    assert log.client.wait(receipt, timeout_s=WAIT_S).business == "completed"
    assert log.client.results([receipt], timeout_s=WAIT_S) == {
        receipt.origin: log.client.wait(receipt, timeout_s=WAIT_S)
    }
    assert log.client.wait("trip-1", timeout_s=WAIT_S).business == "rolled_back"


def test_a_repeated_start_gives_the_present_lifes_outcome(log):
    turned_back(log)
    log.life(Origin(log.topics.commands, 0, 0), Phase.COMPLETED)
    receipt = log.client.send(START)
    refused = e.CommandRefused("start", "duplicate", "", "")
    log.transition(3, refused, origin=receipt.origin)

    assert log.client.wait(receipt, timeout_s=WAIT_S).business == "completed"
    (outcome,) = log.client.results([receipt], timeout_s=WAIT_S).values()
    assert outcome.business == "completed"
    with pytest.raises(CommandRejected, match="duplicate"):
        log.client.effect_of(receipt, timeout_s=WAIT_S)


def test_a_conflict_is_no_outcome_of_the_saga_that_is_there(log):
    log.life(Origin(log.topics.commands, 0, 0), Phase.COMPLETED)
    log.outcome("completed")
    receipt = log.client.send(START)
    refused = e.CommandRefused("start", "conflict", "", "")
    log.transition(3, refused, origin=receipt.origin)

    with pytest.raises(CommandRejected, match="conflict"):
        log.client.wait(receipt, timeout_s=WAIT_S)
    (result,) = log.client.results([receipt], timeout_s=WAIT_S).values()
    assert (type(result), result.reason) == (CommandRejected, "conflict")
