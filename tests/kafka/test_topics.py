from __future__ import annotations

import pytest
from kafka_kit import wait_for

from orchestrator.errors import ConfigurationError
from orchestrator.kafka.base import TopicState
from orchestrator.topics import Plan, Topics, TopicSettings, apply, plan, specs

TOPICS = Topics("acme")
PRODUCTION = specs(TOPICS, ["bank"], TopicSettings(partitions=6))
DEVELOPMENT = specs(TOPICS, ["bank"], TopicSettings(partitions=6, profile="development"))
DAY_MS = 86_400_000


def existing(wanted=PRODUCTION, name="", **changes):
    """What a cluster would say if everything were right but for `changes` of one topic."""
    states = {spec.name: TopicState(*spec) for spec in wanted}
    if name:
        config = {**states[name].config, **changes.pop("config", {})}
        states[name] = states[name]._replace(config=config, **changes)
    return states


class RecordingAdmin:
    def __init__(self):
        self.done = []

    def create(self, wanted):
        self.done.append(("create", [spec.name for spec in wanted]))

    def alter(self, name, config):
        self.done.append(("alter", name, config))


def test_names_are_under_the_prefix_but_for_the_participants_own():
    assert [spec.name for spec in PRODUCTION] == [
        "acme.commands",
        "acme.replies.bank",
        "acme.events",
        "acme.changelog",
        "acme.outcomes",
        "acme.dead-letters",
        "bank.commands",
        "bank.dead-letters",
    ]


@pytest.mark.parametrize("name", ["acme", "acme.replies", "", "a b", "a/b", "x" * 129])
def test_impossible_participants_are_refused(name):
    with pytest.raises(ConfigurationError):
        TOPICS.replies(name)
    with pytest.raises(ConfigurationError):
        TOPICS.participant_commands(name)


def test_names_that_kafka_refuses_are_refused():
    with pytest.raises(ConfigurationError, match="249"):
        Topics("p" * 128).replies("x" * 128)
    with pytest.raises(ConfigurationError, match="prefix"):
        Topics("a b")


def test_profiles_differ_in_copies_only():
    for production, development in zip(PRODUCTION, DEVELOPMENT, strict=True):
        assert (production.replication, development.replication) == (3, 1)
        assert production.config["min.insync.replicas"] == "2"
        assert development.config["min.insync.replicas"] == "1"
        assert production.partitions == development.partitions == 6


def test_a_new_cluster_gets_every_topic_and_a_right_one_none():
    assert plan(PRODUCTION, {}) == Plan(PRODUCTION, ())
    assert plan(PRODUCTION, existing()) == Plan((), ())
    assert plan(DEVELOPMENT, existing()) == Plan((), ())


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("acme.commands", {"partitions": 8}, "8 partitions"),
        ("bank.commands", {"partitions": 5}, "5 partitions"),
        ("acme.changelog", {"config": {"cleanup.policy": "delete"}}, "cleanup.policy"),
        ("acme.changelog", {"config": {"cleanup.policy": "compact,delete"}}, "cleanup.policy"),
        ("acme.commands", {"config": {"cleanup.policy": "compact"}}, "cleanup.policy"),
        ("acme.changelog", {"config": {"delete.retention.ms": str(DAY_MS)}}, "delete.retention"),
        ("acme.replies.bank", {"config": {"retention.ms": str(DAY_MS)}}, "retention.ms"),
        ("acme.events", {"config": {"min.insync.replicas": "1"}}, "min.insync.replicas"),
        ("acme.events", {"config": {"unclean.leader.election.enable": "true"}}, "unclean"),
        ("acme.events", {"config": {"max.message.bytes": "1000"}}, "max.message.bytes"),
        ("acme.events", {"replication": 2}, "2 copies"),
    ],
)
def test_a_dangerous_topic_is_refused_with_its_cure(name, change, word):
    todo = plan(PRODUCTION, existing(name=name, **change))

    (problem,) = todo.fatal
    assert problem.topic == name
    assert word in problem.text
    assert problem.cure
    admin = RecordingAdmin()
    with pytest.raises(ConfigurationError, match=word):
        apply(admin, todo)
    assert admin.done == []
    if problem.mend is None:
        with pytest.raises(ConfigurationError):
            apply(admin, todo, mend=True)
    else:
        apply(admin, todo, mend=True)
        assert admin.done == [("create", []), ("alter", name, dict([problem.mend]))]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("acme.outcomes", {"cleanup.policy": "delete,compact"}),
        ("acme.events", {"retention.ms": "-1"}),
        ("acme.changelog", {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.9"}),
        ("acme.changelog", {"max.message.bytes": "9000000"}),
    ],
)
def test_harmless_differences_are_the_operators_business(name, config):
    assert plan(PRODUCTION, existing(name=name, config=config)) == Plan((), ())


def test_for_ever_is_longer_than_any_time():
    forever = specs(TOPICS, [], TopicSettings(events_retention_ms=-1))
    states = existing(forever, "acme.events", config={"retention.ms": str(1000 * DAY_MS)})

    assert [problem.topic for problem in plan(forever, states).fatal] == ["acme.events"]


def test_a_cluster_is_warned_about_and_refused():
    right = {
        "auto.create.topics.enable": "false",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "offsets.topic.replication.factor": "3",
    }
    assert plan(PRODUCTION, existing(), right).problems == ()

    (warning,) = plan(
        PRODUCTION, existing(), right | {"auto.create.topics.enable": "true"}
    ).problems
    assert not warning.fatal
    weak = right | {"transaction.state.log.min.isr": "1"}
    (problem,) = plan(PRODUCTION, existing(), weak).fatal
    assert "transaction.state.log.min.isr" in problem.text
    assert plan(DEVELOPMENT, existing(DEVELOPMENT), weak).problems == ()


def test_all_copies_in_sync_is_a_warning():
    states = existing(name="acme.events", config={"min.insync.replicas": "3"})
    (warning,) = plan(PRODUCTION, states).problems

    assert not warning.fatal
    assert "one broker away" in warning.text


def test_topics_are_created_as_planned_on_a_real_cluster(cluster):
    wanted = specs(
        Topics(cluster.prefix),
        [f"{cluster.prefix}-bank"],
        TopicSettings(partitions=2, profile="development"),
    )
    names = [spec.name for spec in wanted]
    admin = cluster.admin
    apply(admin, plan(wanted, admin.topics(names), admin.broker_config()))

    wait_for(lambda: len(admin.topics(names)) == len(names))
    todo = plan(wanted, admin.topics(names), admin.broker_config())

    assert todo.create == ()
    assert todo.fatal == ()
    apply(admin, Plan(wanted, ()))
    changelog = f"{cluster.prefix}.changelog"
    admin.alter(changelog, {"cleanup.policy": "delete"})
    wait_for(lambda: plan(wanted, admin.topics(names)).fatal)
    apply(admin, plan(wanted, admin.topics(names)), mend=True)
    wait_for(lambda: not plan(wanted, admin.topics(names)).fatal)
    assert admin.topics([changelog])[changelog].config["segment.ms"] == "21600000"
