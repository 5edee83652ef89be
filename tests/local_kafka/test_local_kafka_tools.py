"""Kafka's own tools, the schema registry and the Docker backend."""

import json
import urllib.request

import pytest
from confluent_kafka.admin import AdminClient

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka import LocalKafka


def test_the_console_tools_produce_and_consume(kafka, topic_prefix):
    made = kafka.run_tool("kafka-topics", "--create", "--topic", topic_prefix)
    sent = kafka.run_tool("kafka-console-producer", "--topic", topic_prefix, stdin=b"a\nb\n")
    got = kafka.run_tool(
        "kafka-console-consumer",
        *("--topic", topic_prefix, "--from-beginning", "--max-messages", "2"),
    )

    assert (made.returncode, sent.returncode, got.returncode) == (0, 0, 0), got.stderr
    assert got.stdout == b"a\nb\n"


def test_a_tool_that_does_not_exist_is_named(kafka):
    with pytest.raises(LocalKafkaError, match="kafka-console-producer"):
        kafka.run_tool("kafka-everything")


def test_a_registered_schema_is_found_again(schema_registry, topic_prefix):
    schema = {"schema": '"string"'}
    request = urllib.request.Request(
        f"{schema_registry.url}/subjects/{topic_prefix}/versions",
        data=json.dumps(schema).encode(),
        headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        schema_id = json.load(answer)["id"]

    with urllib.request.urlopen(
        f"{schema_registry.url}/schemas/ids/{schema_id}", timeout=30
    ) as answer:
        assert json.load(answer)["schema"] == '"string"'


@pytest.mark.usefixtures("docker")
def test_docker_runs_the_same_broker(tmp_path):
    with LocalKafka(backend="docker", data_dir=tmp_path) as kafka:
        kafka.kill_node(1)
        assert kafka.running_nodes == ()
        kafka.start_node(1)
        admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
        assert len(admin.describe_cluster().result(30).nodes) == 1
        handle = kafka._running[1]

    assert handle.exit_code in {0, 143}
