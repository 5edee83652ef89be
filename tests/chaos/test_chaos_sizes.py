"""M44: records at the limit, one byte beyond, and larger than what a worker fetches at once."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from confluent_kafka import Producer
from town import wait_until

from orchestrator.codec.envelope import Origin
from orchestrator.codec.limits import DEFAULT_LIMITS
from orchestrator.core.commands import CancelSaga, StartSaga
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.partitioner import partition as partition_of

LIMIT = DEFAULT_LIMITS.value_bytes_max
FRAME_BYTES = 200
"""More than a step command has around its payload beyond what a start has."""


def cancel_of(town, saga_id, size):
    """A cancel of exactly so many bytes."""

    def made(length):
        return town.codec.encode_command(CancelSaga(saga_id, "ann", "r" * length))

    value = made(2 * size - len(made(size)))
    assert len(value) == size
    return value


def start_of(town, saga_id, size):
    """A start of exactly so many bytes, nearly all of which its first step will carry."""

    def made(length):
        transfer = town.space.Transfer("account-1", "t" * length, 5)
        payload = town.payloads.encode(transfer, type(transfer))
        return town.codec.encode_command(StartSaga(saga_id, "wait", 1, payload))

    value = made(2 * size - len(made(size)))
    assert len(value) == size
    return value


def test_records_are_taken_up_to_the_limit_and_set_aside_beyond(hamlet):
    hamlet.worker()
    known, *_ = hamlet.begin(12)
    hamlet.wait_ended()
    commands = hamlet.topics.commands

    def cancel(size):
        return hamlet.send(commands, known.encode(), cancel_of(hamlet, known, size))

    def start(saga_id, size):
        return hamlet.send(commands, saga_id.encode(), start_of(hamlet, saga_id, size))

    taken = {cancel(LIMIT - 1), cancel(LIMIT)}
    hamlet.acknowledged.add("w-large-ok")
    start("w-large-ok", LIMIT - FRAME_BYTES)
    bad = {
        cancel(LIMIT + 1): "oversize_value",
        start("w-1-ok", LIMIT + 1): "oversize_value",
        # No participant would take the step command: better no saga than one that cannot end.
        start("w-1-ok", LIMIT): "too_large_effect",
        start("w-1-ok", LIMIT - 1): "too_large_effect",
    }
    hamlet.begin(12)
    hamlet.wait_ended()

    history = hamlet.check(bad=bad)
    assert taken <= {transition.cause.origin for _, transition in history.transitions}


@pytest.mark.parametrize("size", [3_000_000, 8_600_000])
def test_a_record_larger_than_a_fetch_is_set_aside_and_the_next_are_read(town, size):
    """By default 1 MiB a partition and 8 MiB in all are fetched; brokers give one record all the same."""
    worker = town.worker()
    town.begin(12)
    town.wait_ended()
    commands = town.topics.commands
    town.admin.alter(commands, {"max.message.bytes": "16000000"})
    bad = {
        send_large(town, commands, b"x-%d" % number, os.urandom(size)): "oversize_value"
        for number in range(4)
    }
    town.begin(12)
    town.wait_ended()
    wait_until(
        lambda: worker.lines("counters")[-1].get("dead_letters") == {"oversize_value": len(bad)},
        "all large records to be set aside",
    )
    history = town.check(bad=bad)
    letters = [letter for _, letter in history.dead_letters]
    assert {f"value of {size} bytes" in letter.text for letter in letters} == {True}


def send_large(town, topic, key, value):
    """Write what no client of ours would; give where it lies."""
    producer = Producer(
        {
            "bootstrap.servers": town.kafka.bootstrap_servers,
            "message.max.bytes": 16_000_000,
            "compression.type": "none",
        }
    )
    done = []
    producer.produce(
        topic,
        key=key,
        value=value,
        partition=partition_of(key, town.partitions),
        on_delivery=lambda error, message: done.append((error, message)),
    )
    producer.flush(20)
    error, message = done[0]
    assert error is None, error
    return Origin(topic, message.partition(), message.offset())


def test_a_record_larger_than_a_worker_can_receive_waits_for_one_that_can(town):
    """Nothing is skipped; the log says which limit it is."""
    worker = town.worker()
    town.begin(12)
    town.wait_ended()
    commands = town.topics.commands
    town.admin.alter(commands, {"max.message.bytes": "16000000"})
    bad = {send_large(town, commands, b"x-1", os.urandom(12_000_000)): "oversize_value"}
    town.begin(12)

    def said():
        lines = worker.lines("kafka_client")
        return any("increase receive.message.max.bytes" in line["text"] for line in lines)

    wait_until(said, "the library's complaint")
    assert worker.code is None
    town.stop(worker)
    town.worker(kafka={"message_bytes_max": 2_000_000})
    town.wait_ended()
    wider = replace(town.settings, message_bytes_max=2_000_000)
    town.reader.close()
    town.reader = ChangelogReader(wider, f"{town.prefix}.judge")
    town.check(bad=bad)
