from __future__ import annotations

from random import Random

import pytest
from kafka_kit import assigned, wait_for

from orchestrator.codec.envelope import Origin, Record
from orchestrator.errors import ConfigurationError, Retriable
from orchestrator.kafka import changelog
from orchestrator.kafka.base import Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.plain import PlainProducer
from orchestrator.kafka.settings import KafkaSettings


@pytest.fixture
def producer(cluster):
    producer = PlainProducer(cluster.settings, "test", timeout_s=10)
    yield producer
    producer.close()


def read(cluster, topic, until):
    reader = ChangelogReader(cluster.settings)
    batches = list(reader.read(Position(topic, 0, 0), until))
    reader.close()
    return [envelope.value for batch in batches for envelope in batch]


def test_every_record_is_acknowledged_with_its_place(cluster, producer):
    topic = cluster.topic(partitions=2)
    told = []
    records = [Record(topic, number % 2, b"k", b"%d" % number) for number in range(1_200)]
    producer.send(iter(records), lambda record, origin: told.append((record, origin)))

    assert len(told) == 1_200
    assert (records[5], Origin(topic, 1, 2)) in told
    assert read(cluster, topic, 600) == [b"%d" % number for number in range(0, 1_200, 2)]


def test_a_missing_topic_and_a_large_record_are_the_callers_fault(cluster, producer):
    topic = cluster.topic(**{"max.message.bytes": "1000"})
    with pytest.raises(ConfigurationError, match="UNKNOWN"):
        producer.send([Record(f"{topic}.none", 0, b"k", b"v")])
    with pytest.raises(ConfigurationError, match="SIZE"):
        producer.send([Record(topic, 0, b"k", Random(1).randbytes(5_000))])
    with pytest.raises(ConfigurationError, match="UNKNOWN"):
        producer.send([Record(topic, 7, b"k", b"v")])
    producer.send([Record(topic, 0, b"k", b"good")])

    assert read(cluster, topic, 1) == [b"good"]


def test_without_brokers_it_gives_up_in_time():
    producer = PlainProducer(KafkaSettings(bootstrap_servers="127.0.0.1:1"), "test", timeout_s=0.5)
    with pytest.raises(Retriable):
        producer.send([Record("t", 0, b"k", b"v")])
    producer.close()


def test_a_participant_keeps_its_positions_in_the_group(cluster):
    topic = cluster.topic()
    source = cluster.source(topic, keeps_positions=True)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    source.store([Position(topic, 0, 4)])

    pair = TopicPartition(topic, 0)
    wait_for(lambda: source.committed([pair], 5) == {pair: 4})
    wait_for(lambda: cluster.admin.members(f"{cluster.prefix}.g"))
    (member,) = cluster.admin.members(f"{cluster.prefix}.g")
    assert member.instance_id == f"{cluster.prefix}-000"
    assert member.partitions == (pair,)


def test_a_position_is_kept_by_the_end_although_nobody_waited_for_it(cluster):
    topic = cluster.topic()
    source = cluster.source(topic, keeps_positions=True)
    assigned(source)
    source.assign([Position(topic, 0, 0)])
    pair = TopicPartition(topic, 0)
    for offset in range(1, 40):  # the last ones between two commits
        source.store([Position(topic, 0, offset)])
    source.close()
    again = cluster.source(topic, keeps_positions=True)
    assigned(again)
    assert again.committed([pair], 5) == {pair: 39}


def test_a_position_of_a_partition_that_is_not_read_is_not_taken(cluster):
    topic = cluster.topic()
    source = cluster.source(topic, keeps_positions=True)
    with pytest.raises(Retriable):
        source.store([Position(topic, 0, 4)])


def test_admin_knows_groups_offsets_and_brokers(cluster):
    topic = cluster.topic(partitions=2)
    first, second = TopicPartition(topic, 0), TopicPartition(topic, 1)
    cluster.commit(cluster.sink(), topic, b"v")

    assert cluster.admin.members(f"{cluster.prefix}.nobody") == ()
    # A transaction's end marker takes an offset too, and is written after the commit returned.
    wait_for(lambda: cluster.admin.end_offsets([first, second]) == {first: 2, second: 0})
    assert cluster.admin.start_offsets([first]) == {first: 0}
    assert cluster.admin.broker_config()["auto.create.topics.enable"] == "false"
    assert cluster.admin.topics([topic, f"{topic}.none"]).keys() == {topic}


def test_the_reader_waits_behind_an_open_transaction_and_goes_on_after_it(cluster):
    """The barrier's rule: nothing committed below `until` may be missed."""
    topic = cluster.topic()
    earlier, later = cluster.sink(1), cluster.sink(2)
    earlier.begin()
    earlier.send(Record(topic, 0, b"k", b"earlier"), track=True)
    earlier._live().flush(10)
    barrier = cluster.commit(later, topic, b"barrier")[TopicPartition(topic, 0)]
    reader = ChangelogReader(cluster.settings)
    batches = reader.read(Position(topic, 0, 0), barrier + 1)
    # Long enough to be told that the partition ends here, for now.
    for _ in range(8):
        assert not next(batches)
    earlier.commit()
    seen = [envelope.value for batch in batches for envelope in batch]

    assert seen == [b"earlier", b"barrier"]
    reader.close()


def test_the_reader_ends_at_once_when_there_is_nothing_to_read():
    reader = ChangelogReader(KafkaSettings(bootstrap_servers="127.0.0.1:1"))

    assert list(reader.read(Position("t", 0, 5), 5)) == []
    reader.close()


@pytest.mark.parametrize("offset", [0, 1])
def test_the_first_read_does_not_wait_for_the_librarys_round(
    cluster, producer, monkeypatch, offset
):
    """Once a second the library looks for leaders that it does not know: a read must not need it."""
    topic, said = cluster.topic(), []
    producer.send([Record(topic, 0, b"k", b"%d" % number) for number in range(3)])

    class Ear:
        def log(self, _level, text, *arguments):
            said.append(text % arguments)

    def listening(config, logger):
        assert logger is changelog.LOGGER
        return made({**config, "debug": "metadata"}, logger=Ear())

    made = changelog.Consumer
    monkeypatch.setattr(changelog, "Consumer", listening)
    reader = ChangelogReader(cluster.settings)
    found = [e.value for batch in reader.read(Position(topic, 0, offset), 3) for e in batch]
    reader.close()

    assert found == [b"0", b"1", b"2"][offset:]
    assert any("application requested" in line for line in said)
    assert not [line for line in said if "refresh unavailable topics" in line]
