from __future__ import annotations

import pytest
from confluent_kafka import KafkaException, Producer
from kafka_kit import assigned, polled, rebalances, wait_for

from orchestrator.codec.envelope import Record
from orchestrator.errors import Doubtful, Fenced, MustAbort, Retriable, Unwritable
from orchestrator.kafka import sink as sink_module
from orchestrator.kafka.base import Assigned, GroupMetadata, Lost, Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.kafka.sink import TransactionalSink, TransactionSettings, fence
from orchestrator.kafka.source import parse_group_metadata


@pytest.fixture
def reader(cluster):
    reader = ChangelogReader(cluster.settings, f"{cluster.prefix}-reader")
    yield reader
    reader.close()


def values(cluster, reader, topic):
    """Committed values; waits for nothing that is still open."""
    pair = TopicPartition(topic, 0)
    until = cluster.admin.end_offsets([pair])[pair]
    return [e.value for batch in reader.read(Position(topic, 0, 0), until) for e in batch]


def test_commit_tells_the_offsets_of_tracked_records(cluster, reader):
    topic = cluster.topic(partitions=2)
    sink = cluster.sink()
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"state"))
    sink.send(Record(topic, 0, b"c", b"cursor"), track=True)
    sink.send(Record(topic, 1, b"c", b"cursor"), track=True)

    assert sink.commit() == {TopicPartition(topic, 0): 1, TopicPartition(topic, 1): 0}
    assert cluster.commit(sink, topic, b"next") == {TopicPartition(topic, 0): 3}
    assert values(cluster, reader, topic) == [b"state", b"cursor", b"next"]


def test_an_aborted_transaction_is_not_read_and_rotation_goes_on(cluster, reader):
    topic = cluster.topic()
    sink = cluster.sink()
    cluster.commit(sink, topic, b"one")
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"never"))
    sink.abort()
    sink.abort()
    sink.rotate()
    cluster.commit(sink, topic, b"two")

    assert values(cluster, reader, topic) == [b"one", b"two"]


def test_rotation_without_abort_ends_the_open_transaction(cluster, reader):
    topic = cluster.topic()
    sink = cluster.sink()
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"never"), track=True)
    sink.rotate()
    cluster.commit(sink, topic, b"one")

    assert values(cluster, reader, topic) == [b"one"]


def test_a_second_init_fences_the_first(cluster, reader):
    topic = cluster.topic()
    first = cluster.sink()
    cluster.commit(first, topic, b"first")
    first.begin()
    first.send(Record(topic, 0, b"k", b"zombie"))
    second = cluster.sink()
    with pytest.raises(Fenced):
        first.commit()
    cluster.commit(second, topic, b"second")

    assert values(cluster, reader, topic) == [b"first", b"second"]


def test_fence_frees_the_dead_predecessors_transaction(cluster, reader):
    topic = cluster.topic()
    source = cluster.source(topic)
    assigned(source)
    dead = cluster.sink(5)
    dead.begin()
    dead.send(Record(topic, 0, b"k", b"dangling"))
    dead.send_offsets([Position(topic, 0, 1)], source.group_metadata())
    pair = TopicPartition(topic, 0)
    with pytest.raises(Retriable):
        source.committed([pair], 0.5)
    fence(cluster.settings, f"{cluster.prefix}-005")

    assert source.committed([pair], 5) == {pair: None}
    assert values(cluster, reader, topic) == []
    with pytest.raises(Fenced):
        dead.commit()


@pytest.mark.parametrize("early", [False, True])
def test_the_predecessors_open_transaction_costs_no_second_producer(
    cluster, reader, monkeypatch, early
):
    """A producer naps for half a second when it is told to wait; asked again, it does not."""
    topic = cluster.topic()
    dead = cluster.sink()
    dead.begin()
    dead.send(Record(topic, 0, b"k", b"dangling"), track=True)
    dead._live().flush(10)
    made = []

    def counted(config):
        made.append(config)
        return Producer(config)

    monkeypatch.setattr(sink_module, "Producer", counted)
    monkeypatch.setattr(sink_module, "_TRIAL_S", 20.0)  # however slow this machine is today
    successor = cluster.sink(init=False)
    if early:
        successor.init_soon()
    successor.init()
    cluster.commit(successor, topic, b"next")

    assert len(made) == 1
    assert values(cluster, reader, topic) == [b"next"]
    with pytest.raises(Fenced):
        dead.commit()


def test_an_early_claim_that_fails_is_told_when_the_id_is_needed(topic_prefix):
    sink = TransactionalSink(
        KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        f"{topic_prefix}-000",
        TransactionSettings(transaction_timeout_ms=2_000),
    )
    sink.init_soon()
    with pytest.raises(Doubtful):
        sink.init()
    sink.close()


def test_whoever_is_told_to_stop_waits_for_no_coordinator(topic_prefix):
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 3

    settings = KafkaSettings(bootstrap_servers="127.0.0.1:1")
    sink = TransactionalSink(settings, f"{topic_prefix}-000", stop=stop)
    with pytest.raises(Doubtful, match="told to stop"):
        sink.rotate()
    sink.close()


def test_an_early_claim_that_the_library_refuses_is_told_too(topic_prefix):
    sink = TransactionalSink(
        KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        f"{topic_prefix}-000",
        TransactionSettings(compression="nonsense"),
    )
    sink.init_soon()
    with pytest.raises(KafkaException):
        sink.init()
    sink.close()


def test_offsets_move_with_the_commit_only(cluster):
    topic = cluster.topic()
    source = cluster.source(topic)
    assigned(source)
    sink = cluster.sink()
    pair = TopicPartition(topic, 0)
    sink.begin()
    sink.send_offsets([Position(topic, 0, 5)], source.group_metadata())
    sink.abort()
    sink.rotate()
    assert source.committed([pair], 5) == {pair: None}
    sink.begin()
    sink.send_offsets([Position(topic, 0, 7)], source.group_metadata())
    sink.commit()
    assert source.committed([pair], 5) == {pair: 7}


def test_a_stale_generation_is_refused_by_the_broker(cluster):
    topic = cluster.topic(partitions=2)
    first = cluster.source(topic, number=0)
    assigned(first)
    stale = first.group_metadata()
    second = cluster.source(topic, number=1)

    def joined(polls):
        second.poll_batch(1, 0.01)
        return any(len(change.partitions) == 1 for change in rebalances(polls, Assigned))

    polled(first, joined)
    sink = cluster.sink()
    sink.begin()
    with pytest.raises(MustAbort, match="ILLEGAL_GENERATION"):
        sink.send_offsets([Position(topic, 0, 1)], stale)
    sink.abort()
    sink.rotate()
    assert first.committed([TopicPartition(topic, 0)], 5)[TopicPartition(topic, 0)] is None


def test_a_member_that_was_thrown_out_proves_nothing(cluster):
    topic = cluster.topic()
    source = cluster.source(topic, poll_interval_ms_max=6_000)
    assigned(source)
    assert source.group_metadata().live
    thrown_out = cluster.source(topic, number=1, poll_interval_ms_max=6_000)
    del thrown_out
    source.assign([])
    metadata = source.group_metadata()
    assert metadata.live


@pytest.mark.parametrize(
    "group", [GroupMetadata(b"CGMDv2:", -1, "m"), GroupMetadata(b"CGMDv2:", 3, "")]
)
def test_what_the_broker_would_wave_through_is_refused_here(cluster, group):
    sink = cluster.sink()
    sink.begin()
    with pytest.raises(MustAbort, match="not be fenced"):
        sink.send_offsets([Position("t", 0, 1)], group)
    with pytest.raises(MustAbort, match="not be fenced"):
        sink.send_offsets([], GroupMetadata(b"CGMDv2:", 1, "m"))
    sink.abort()


def test_a_slow_commit_is_doubtful_and_rotation_goes_on(cluster, reader):
    topic = cluster.topic()
    sink = cluster.sink(commit_doubt_ms=0)
    with pytest.raises(Doubtful, match="took"):
        cluster.commit(sink, topic, b"slow")
    assert sink.leeway() < 1
    sink.rotate()

    assert values(cluster, reader, topic) == [b"slow"]
    later = cluster.sink(2, commit_doubt_ms=30_000)
    cluster.commit(later, topic, b"quick")
    assert later.leeway() > 1


def test_an_error_during_the_transaction_is_doubtful(cluster):
    topic = cluster.topic()
    sink = cluster.sink()
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"v"))
    sink._troubles.append("a broker went away")
    with pytest.raises(Doubtful, match="went away"):
        sink.commit()


def test_misuse_is_doubtful(cluster):
    sink = cluster.sink(init=False)
    with pytest.raises(Doubtful, match="rotate"):
        sink.begin()
    sink.init()
    with pytest.raises(Doubtful):
        sink.commit()


def test_a_record_that_the_topic_refuses_must_abort(cluster, reader):
    topic = cluster.topic(**{"max.message.bytes": "2000"})
    sink = cluster.sink(compression="none")
    sink.begin()
    sink.send(Record(topic, 0, b"k", b"x" * 5_000))
    with pytest.raises(MustAbort):
        sink.commit()
    sink.abort()
    sink.rotate()
    cluster.commit(sink, topic, b"small")

    assert values(cluster, reader, topic) == [b"small"]


def test_who_refused_a_tracked_record_is_told(cluster):
    topic, other = cluster.topic(**{"max.message.bytes": "2000"}), cluster.topic("other")
    sink = cluster.sink(compression="none")
    sink.begin()
    sink.send(Record(other, 0, b"k", b"taken"), track=True)
    sink.send(Record(topic, 0, b"k", b"x" * 5_000), track=True)
    with pytest.raises(Unwritable, match=topic) as raised:
        sink.commit()
    assert raised.value.refused == {TopicPartition(topic, 0)}
    sink.abort()
    sink.rotate()
    assert cluster.commit(sink, topic, b"small") != {}


def test_a_topic_that_is_not_there_takes_nothing(cluster):
    sink = cluster.sink()
    missing = TopicPartition(f"{cluster.prefix}.missing", 0)
    with pytest.raises(Unwritable) as raised:
        cluster.commit(sink, missing.topic, b"lost")
    assert raised.value.refused == {missing}


def test_the_cluster_tells_which_places_take_nothing(cluster):
    topic = cluster.topic()
    places = [TopicPartition(topic, 0), TopicPartition(topic, 1), TopicPartition("missing", 0)]

    refused = cluster.admin.refusals(places)

    assert refused.keys() == set(places[1:])
    assert "no partition 1" in refused[places[1]]


def test_a_full_queue_is_waited_for(cluster, reader):
    topic = cluster.topic()
    sink = cluster.sink(queue_count_max=1_000)
    cluster.commit(sink, topic, *[b"%d" % number for number in range(5_000)])

    assert len(values(cluster, reader, topic)) == 5_000


def test_many_records_arrive_as_they_are_and_in_order_though_the_queue_is_full(cluster, reader):
    topic = cluster.topic()
    sink = cluster.sink(queue_count_max=1_000)
    headers = [(), (("id", b"e"),), (("id", b"e"), ("traceparent", b""))]
    given = [
        Record(topic, 0, b"k%d" % number, b"%d" % number, headers[number % 3])
        for number in range(3_000)
    ]
    sink.begin()
    sink.send_all(given)
    sink.commit()

    pair = TopicPartition(topic, 0)
    until = cluster.admin.end_offsets([pair])[pair]
    found = [e for batch in reader.read(Position(topic, 0, 0), until) for e in batch]
    assert [Record(topic, 0, e.key, e.value, e.headers) for e in found] == given


def test_lost_is_told_when_polls_come_too_late(cluster):
    topic = cluster.topic()
    source = cluster.source(topic, poll_interval_ms_max=6_000)
    assigned(source)

    consumer = source._consumer
    wait_for(lambda: not parse_group_metadata(consumer.consumer_group_metadata()).live)
    polls = polled(source, lambda polls: rebalances(polls, Lost))
    assert rebalances(polls, Lost)
