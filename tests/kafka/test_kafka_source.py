from __future__ import annotations

import struct

import pytest
from kafka_kit import assigned, polled, records, wait_for

from orchestrator.codec.envelope import Origin, Record
from orchestrator.errors import Fenced
from orchestrator.kafka.base import (
    Assigned,
    FaultKind,
    GroupMetadata,
    Position,
    Revoked,
    TopicPartition,
)
from orchestrator.kafka.source import parse_group_metadata


def test_nothing_is_read_before_assign_and_then_from_there(cluster):
    topic = cluster.topic(partitions=2)
    sink = cluster.sink()
    cluster.commit(sink, topic, b"a", b"b", b"c")
    source = cluster.source(topic)

    assert assigned(source) == (TopicPartition(topic, 0), TopicPartition(topic, 1))
    assert not source.poll_batch(10, 0.3).records
    source.assign([Position(topic, 0, 1), Position(topic, 1, 0)])
    polls = polled(source, lambda polls: len(records(polls)) == 2)

    assert [record.value for record in records(polls)] == [b"b", b"c"]
    source.seek(Position(topic, 0, 0))
    polls = polled(source, lambda polls: len(records(polls)) == 3)
    assert records(polls)[0].origin == Origin(topic, 0, 0)


def test_a_record_comes_whole(cluster):
    topic = cluster.topic()
    sink = cluster.sink()
    sink.begin()
    sink.send(Record(topic, 0, b"key", b"value", (("id", b"1"), ("id", b"2"))))
    sink.send(Record(topic, 0, b"gone", None))
    sink.commit()
    source = cluster.source(topic)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    first, second = records(polled(source, lambda polls: len(records(polls)) == 2))

    assert (first.key, first.value) == (b"key", b"value")
    assert first.headers == (("id", b"1"), ("id", b"2"))
    assert first.timestamp_ms > 1_600_000_000_000
    assert (second.key, second.value, second.headers) == (b"gone", None, ())


def test_a_batch_is_bounded_and_paused_partitions_rest(cluster):
    topic = cluster.topic()
    sink = cluster.sink()
    cluster.commit(sink, topic, *[b"%d" % number for number in range(10)])
    source = cluster.source(topic)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    wait_for(lambda: len(source.poll_batch(3, 0.1).records) == 3)
    source.pause([TopicPartition(topic, 0)])
    assert not source.poll_batch(100, 0.3).records
    source.resume([TopicPartition(topic, 0)])
    polls = polled(source, records)
    assert records(polls)[-1].offset if False else records(polls)[-1].origin.offset <= 9


def test_a_missing_offset_is_a_fault_not_a_skip(cluster):
    topic = cluster.topic()
    source = cluster.source(topic)
    assigned(source)
    source.assign([Position(topic, 0, 700)])
    polls = polled(source, lambda polls: any(poll.faults for poll in polls))

    (fault,) = [fault for poll in polls for fault in poll.faults]
    assert (fault.kind, fault.topic, fault.partition) == (FaultKind.OUT_OF_RANGE, topic, 0)
    assert not records(polls)


def test_membership_is_proved_and_committed_offsets_are_seen(cluster):
    topic = cluster.topic()
    source = cluster.source(topic)
    assert not source.group_metadata().live
    assigned(source)
    group = source.group_metadata()
    assert group.live
    assert group.generation >= 1
    pair = TopicPartition(topic, 0)
    assert source.committed([pair], 5) == {pair: None}
    sink = cluster.sink()
    sink.begin()
    sink.send_offsets([Position(topic, 0, 0)], group)
    sink.commit()

    assert source.committed([pair], 5) == {pair: 0}


def test_a_second_member_takes_its_share_and_gives_it_back(cluster):
    topic = cluster.topic(partitions=2)
    first, second = cluster.source(topic, number=0), None
    assert len(assigned(first)) == 2
    second = cluster.source(topic, number=1)
    shares = {}

    def settled():
        for number, source in enumerate((first, second)):
            for change in source.poll_batch(1, 0.02).rebalances:
                shares[number] = change.partitions if isinstance(change, Assigned) else ()
        return all(len(shares.get(number, ())) == 1 for number in (0, 1))

    wait_for(settled)
    assert shares == {0: (TopicPartition(topic, 0),), 1: (TopicPartition(topic, 1),)}


def test_records_polled_together_with_a_rebalance_are_dropped(cluster):
    topic = cluster.topic(partitions=2)
    first = cluster.source(topic, number=0)
    assigned(first)
    first.assign([Position(topic, 0, 0), Position(topic, 1, 0)])
    sink = cluster.sink(9)
    second = cluster.source(topic, number=1)
    revoked = []

    def step():
        cluster.commit(sink, topic, b"x")
        second.poll_batch(1, 0.01)
        poll = first.poll_batch(100, 0.05)
        assert not (poll.rebalances and poll.records)
        revoked.extend(c for c in poll.rebalances if isinstance(c, Revoked))
        return revoked

    wait_for(step)


def test_a_second_process_with_our_instance_id_fences_us(cluster):
    topic = cluster.topic()
    first = cluster.source(topic)
    assigned(first)
    assigned(cluster.source(topic))

    with pytest.raises(Fenced):
        polled(first, lambda _: False)
    with pytest.raises(Fenced):
        first.poll_batch(1, 0.0)


@pytest.mark.parametrize(
    ("raw", "generation", "member"),
    [
        (b"CGMDv2:" + struct.pack("<i", 7) + b"group\0m-1\0\0i\0", 7, "m-1"),
        (b"CGMDv2:" + struct.pack("<i", -1) + b"group\0\0\1\0", -1, ""),
        (b"CGMDv3:" + struct.pack("<i", 7) + b"group\0m-1\0\0i\0", -1, ""),
        (b"CGMDv2:" + struct.pack("<i", 7) + b"group", -1, ""),
        (b"CGMDv2:\1", -1, ""),
        (b"", -1, ""),
    ],
)
def test_group_metadata_is_read_or_proves_nothing(raw, generation, member):
    group = parse_group_metadata(raw)

    assert group == GroupMetadata(raw, generation, member)
    assert group.live is (generation >= 0 and member != "")
