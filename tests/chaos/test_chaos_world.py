"""M46, M52, M60, M65: what happens around a worker: clocks, topics, forgers."""

from __future__ import annotations

import signal

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as Place
from confluent_kafka.admin import AdminClient, NewPartitions
from town import wait_until

from orchestrator.codec.records import Reply

HOUR_MS = 3_600_000


def test_a_clock_that_jumps_ends_time_limits_early_and_nothing_else(town):
    worker = town.worker(jumps=[HOUR_MS, -HOUR_MS, 0])
    for _ in range(3):
        town.begin(18)
        town.wait_ended(share=0.5)
        worker.signal(signal.SIGUSR1)
        town.begin(18)
    town.wait_ended()

    # An hour is more than a saga's deadline: those that were under way may have turned back.
    assert [found for found in town.judge() if found.invariant != "ends"] == []
    outcomes = town.history.outcomes
    assert all(outcome.ended_ms >= outcome.started_ms for _, outcome in outcomes)


def test_another_number_of_partitions_is_refused(town):
    worker = town.worker()
    town.begin(12)
    town.wait_ended()
    admin = AdminClient({"bootstrap.servers": town.kafka.bootstrap_servers})
    more = NewPartitions(town.topics.commands, town.partitions + 1)
    admin.create_partitions([more])[town.topics.commands].result(10)

    town.stop(worker)
    refused = town.worker()

    assert refused.died() == 1
    assert "partitions" in refused.log.read_text()

    every = [spec.name for spec in town._specs() if spec.name != town.topics.commands]
    for future in admin.create_partitions(
        [NewPartitions(name, town.partitions + 1) for name in every]
    ).values():
        future.result(10)
    halted = town.worker().wait_logged("shard_halted")
    assert halted[0]["reason"] == "partition_count_changed"


def test_input_that_was_deleted_unread_halts_its_shard_until_a_person_accepts(town):
    worker = town.worker()
    town.begin(12)
    town.wait_ended()
    town.stop(worker)
    lost = town.begin(12)
    commands = town.topics.commands
    ends = town.admin.end_offsets(town.places(commands))
    admin = AdminClient({"bootstrap.servers": town.kafka.bootstrap_servers})
    for future in admin.delete_records([Place(*p, end) for p, end in ends.items()]).values():
        future.result(10)

    halted = town.worker()
    reasons = {line["reason"] for line in halted.wait_logged("shard_halted", town.partitions)}
    assert reasons == {"trimmed"}
    town.stop(halted)

    town.acknowledged.difference_update(lost)
    town.worker(settings={"accept_trimmed": True})
    town.begin(12)
    town.wait_ended()
    town.check()


def test_a_torn_shard_is_set_right_by_the_groups_offset(town):
    worker = town.worker()
    town.begin(12)
    town.wait_ended()
    town.stop(worker)
    right = set_offsets(town, {town.topics.commands: 0})

    halted = town.worker()
    assert {line["reason"] for line in halted.wait_logged("shard_halted", 2)} == {"torn"}
    town.begin(12)
    town.stop(halted)

    set_offsets(town, right)
    town.worker()
    town.wait_ended()
    town.check()


def set_offsets(town, offsets):
    """Set the stopped group's offsets, by topic or by topic and partition; give the former ones."""
    # A static member that has stopped is one until its session ends.
    wait_until(lambda: not town.admin.members(town.prefix), "an empty group")
    places = [Place(topic, p) for topic in [town.topics.commands] for p in range(town.partitions)]
    consumer = Consumer(
        {"bootstrap.servers": town.kafka.bootstrap_servers, "group.id": town.prefix}
    )
    before = {(p.topic, p.partition): p.offset for p in consumer.committed(places, timeout=10)}
    wanted = [
        Place(p.topic, p.partition, offsets.get((p.topic, p.partition), offsets.get(p.topic)))
        for p in places
    ]
    consumer.commit(offsets=wanted, asynchronous=False)
    consumer.close()
    return before


def test_forged_replies_and_hostile_commands_are_set_aside_one_by_one(town):
    town.worker()
    town.begin(12)
    commands, replies = town.topics.commands, town.topics.replies(town.participants[0])
    start = town.codec.encode_reply(Reply("x-1/debit/do/1", "x-1", 1, "", b""))
    bad = {
        town.send(commands, b"x-1", b"nonsense"): "unknown_format",
        town.send(commands, b"x-1", None): "missing_value",
        town.send(commands, None, b"nonsense"): "missing_key",
        town.send(commands, b"x-1", b"\xc3\x01" + bytes(300_000)): "oversize_value",
        town.send(commands, b"x-1", b"{" * 5_000): "too_deep",
        town.send(replies, b"x-1", start): "unknown_saga",
        town.send(replies, b"x-2", start): "key_mismatch",
    }
    town.begin(12)
    town.wait_ended()
    town.check(bad=bad)
