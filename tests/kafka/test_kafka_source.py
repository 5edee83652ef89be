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
    Polled,
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
    # Neither where the group stands (reading would begin at once) nor elsewhere (a fault).
    sink.begin()
    sink.send_offsets([Position(topic, 0, 0)], source.group_metadata())
    sink.commit()
    source.close()
    source = cluster.source(topic)
    assigned(source)
    assert source.poll_batch(10, 0.5) == Polled([], (), ())
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
    taken = []

    def step():
        batch = source.poll_batch(3, 0.1).records
        assert len(batch) <= 3
        taken.extend(batch)
        return taken

    wait_for(step)
    source.pause([TopicPartition(topic, 0)])
    assert not source.poll_batch(100, 0.3).records
    source.resume([TopicPartition(topic, 0)])
    first, *_ = records(polled(source, records))
    assert first.origin.offset == len(taken)


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
    topic = cluster.topic()
    cluster.commit(cluster.sink(), topic, *[b"x"] * 50)
    source = cluster.source(topic)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    polled(source, records)
    source.seek(Position(topic, 0, 0))
    change = Revoked((TopicPartition(topic, 0),))
    # Brokers cannot be made to send a rebalance between two records of one poll.
    source._rebalances.append(change)
    poll = source.poll_batch(100, 5)

    assert poll.rebalances == (change,)
    assert not poll.records


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
