"""Clients of the session's broker."""

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic


@pytest.fixture
def topic(kafka, topic_prefix):
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    admin.create_topics([NewTopic(topic_prefix, 2)])[topic_prefix].result(30)
    return topic_prefix


def consume_one(bootstrap_servers, topic):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        message = consumer.poll(30)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


def test_what_a_transaction_commits_is_consumed(kafka, topic):
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(topic, b"value")
    producer.commit_transaction(30)

    assert consume_one(kafka.bootstrap_servers, topic) == b"value"


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
def test_every_compression_works(kafka, topic, compression):
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "compression.type": compression}
    )
    producer.produce(topic, b"x" * 10_000)
    assert producer.flush(30) == 0

    assert consume_one(kafka.bootstrap_servers, topic) == b"x" * 10_000


def test_a_mistyped_topic_is_an_error(kafka, topic_prefix):
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": topic_prefix})
    try:
        topics = consumer.list_topics(topic_prefix, timeout=30).topics
    finally:
        consumer.close()

    assert topics[topic_prefix].error is not None
    assert KafkaException(topics[topic_prefix].error).args[0].name() == "UNKNOWN_TOPIC_OR_PART"
