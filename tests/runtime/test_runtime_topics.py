"""What a worker demands of its topics before it takes anything."""

import pytest

from orchestrator.errors import ConfigurationError
from orchestrator.kafka.base import TopicState
from orchestrator.runtime.main import check_topics
from orchestrator.topics import Topics, TopicSettings, specs

TOPICS = Topics("saga")
SPECS = specs(TOPICS, ["till"], TopicSettings(partitions=4, profile="development"))


def found(**changes):
    """The topics as `saga topics create` makes them, but for one."""
    states = {
        spec.name: TopicState(spec.name, spec.partitions, spec.replication, dict(spec.config))
        for spec in SPECS
    }
    for name, change in changes.items():
        topic = getattr(TOPICS, name)
        states[topic] = states[topic]._replace(**change)
    return states


def test_topics_as_they_are_made_are_taken():
    assert check_topics(found(), TOPICS, ["till"]) == (4, {"till": 4})


def test_how_long_they_keep_is_the_operators_choice():
    short = {"config": {"cleanup.policy": "delete", "retention.ms": "1000"}}

    assert check_topics(found(commands=short), TOPICS, ["till"])


def test_a_participants_own_topic_may_have_other_partitions():
    states = found()
    states["till.commands"] = states["till.commands"]._replace(partitions=12)

    assert check_topics(states, TOPICS, ["till"]) == (4, {"till": 12})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"changelog": {"config": {"cleanup.policy": "delete"}}}, "cleanup.policy"),
        ({"commands": {"config": {"cleanup.policy": "compact"}}}, "swallow"),
        ({"events": {"partitions": 5}}, "same number"),
    ],
)
def test_what_would_lose_data_is_refused_with_the_cure(changes, words):
    with pytest.raises(ConfigurationError, match=words):
        check_topics(found(**changes), TOPICS, ["till"])


def test_a_missing_topic_is_named():
    states = found()
    del states["saga.replies.till"]

    with pytest.raises(ConfigurationError, match=r"saga\.replies\.till; run `saga topics create`"):
        check_topics(states, TOPICS, ["till"])
