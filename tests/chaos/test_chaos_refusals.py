"""M51: a topic that a worker must write takes no records: it is gone, forbidden, or too narrow."""

from __future__ import annotations

import os

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from town import KINDS, Town, wait_until

from orchestrator.kafka.base import TopicPartition
from orchestrator.kafka.partitioner import partition as partition_of
from orchestrator.local_kafka import LocalKafka
from orchestrator.topics import apply, plan

GUARDED = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # Whoever is not forbidden anything may do everything: all connect without a name.
    "allow.everyone.if.no.acl.found": "true",
}
BEGUN_COUNT = 18


@pytest.fixture(scope="module")
def guarded():
    """One broker that obeys access rules."""
    with LocalKafka(settings=GUARDED) as started:
        yield started


@pytest.fixture
def fort(guarded, topic_prefix, tmp_path):
    """An installation on it, no worker yet."""
    with Town(guarded, topic_prefix, tmp_path) as made:
        made.open_shop()
        yield made


def delete(town, topic):
    """Delete a topic; the cure makes all missing topics anew."""
    admin = AdminClient({"bootstrap.servers": town.kafka.bootstrap_servers})
    admin.delete_topics([topic])[topic].result(10)
    wait_until(lambda: not town.admin.partitions([topic]), "the topic's end")
    wanted = town._specs()
    return lambda: apply(town.admin, plan(wanted, town.admin.topics([s.name for s in wanted])))


def forbid(town, topic):
    """Forbid everybody to write to a topic."""
    admin = AdminClient({"bootstrap.servers": town.kafka.bootstrap_servers})
    here = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL)
    everybody = [("ALL", "ALLOW"), ("WRITE", "DENY")]
    rules = [
        AclBinding(*here, "User:*", "*", AclOperation[what], AclPermissionType[how])
        for what, how in everybody
    ]
    for future in admin.create_acls(rules).values():
        future.result(10)

    def allow():
        every = AclBindingFilter(*here, None, None, AclOperation.ANY, AclPermissionType.ANY)
        for future in admin.delete_acls([every]).values():
            future.result(10)

    return allow


def narrow(town, topic):
    """Let a topic take small records only."""
    town.admin.alter(topic, {"max.message.bytes": "10000"})
    return lambda: town.admin.alter(topic, {"max.message.bytes": "1048588"})


def begin(town, kinds=KINDS, count=BEGUN_COUNT):
    """Start sagas, of both shards if many; a receipt would need the topic that is gone."""
    wanted = [town._made(kinds[number % len(kinds)]) for number in range(count)]
    town.client.start_many(wanted)
    begun = {saga for saga, _ in wanted}
    town.acknowledged |= begun
    return begun


def free_only(town, held, begun):
    """Wait until all these sagas have ended but those of the held shard."""
    free = {saga for saga in begun if partition_of(saga.encode(), town.partitions) != held}
    assert free
    assert free != begun

    def free_ended():
        town.look()
        return free <= town.ended.keys()

    wait_until(free_ended, "the end of all sagas of the other shard")
    assert town.ended.keys() & begun == free


@pytest.mark.parametrize("harm", [delete, forbid, narrow])
def test_a_shard_whose_dead_letter_is_refused_waits_and_the_others_go_on(fort, harm):
    worker = fort.worker()
    fort.begin(12)
    fort.wait_ended()
    cure = harm(fort, fort.topics.dead_letters)
    bad = fort.send(fort.topics.commands, b"x-1", b"nonsense" + os.urandom(50_000))

    (halted, *_) = worker.wait_logged("shard_halted")
    assert (halted["reason"], halted["shard"]) == ("unwritable", bad.partition)
    assert fort.topics.dead_letters in halted["text"]
    assert "by itself" in halted["operator_action"]

    free_only(fort, bad.partition, begin(fort))
    assert worker.code is None
    # Counted, and nothing of the held shard is taken for consumed.
    wait_until(
        lambda: worker.lines("counters")[-1].get("halted", {}).get("unwritable"), "the counter"
    )
    place = TopicPartition(fort.topics.commands, bad.partition)
    held = [("running", None)] * fort.partitions
    held[bad.partition] = ("held", "unwritable")
    wait_until(lambda: fort.shown() == (held, 1), "saga shards to show it")
    assert fort.admin.positions(fort.prefix)[place] <= bad.offset

    cure()
    fort.wait_ended()
    wait_until(lambda: fort.shown() == ([("running", None)] * 2, 0), "saga shards to show it")
    fort.check(bad={bad: "unknown_format"})
    assert worker.lines("worker_ready")[1:] == []  # it is the same process


def test_a_shard_that_may_not_write_to_a_participant_waits_and_parks_nothing(fort):
    worker = fort.worker()
    fort.begin(12)
    fort.wait_ended()
    post = next(name for name in fort.participants if name.startswith("post"))
    allow = forbid(fort, fort.topics.participant_commands(post))
    (telling,) = begin(fort, ["s-ok"], 1)

    (halted, *_) = worker.wait_logged("shard_halted")
    held = partition_of(telling.encode(), fort.partitions)
    assert (halted["reason"], halted["shard"]) == ("unwritable", held)
    free_only(fort, held, begin(fort, ["m-ok", "m-poor"]))

    allow()
    fort.wait_ended()
    fort.check()
    assert worker.lines("dead_letter") == []
