"""An installation with a schema registry: Avro from a plain console producer."""

from contextlib import closing

import pytest
from installation import Installation

from orchestrator.client import Client
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import StartSaga
from orchestrator.kafka.registry import ConfluentRegistry


@pytest.fixture
def saga(kafka, schema_registry, tmp_path):
    installation = Installation(
        kafka.bootstrap_servers, tmp_path, SAGA_REGISTRY_URL=schema_registry.url
    )
    installation.start()
    yield installation
    assert installation.stop() == 0


@pytest.fixture
def registry(schema_registry):
    with closing(ConfluentRegistry(schema_registry.url)) as opened:
        yield opened


def test_kafkas_console_producer_starts_a_saga_in_avro(saga, kafka, registry):
    """It passes on lines of UTF-8 and nothing else, so the record must happen to be one.

    The registry's wire format is, for short texts; the other prefix never is. kcat takes any bytes.
    """
    if not hasattr(kafka, "run_tool"):
        pytest.skip("the cluster is not ours: its console producer is not at hand")
    codec = RecordCodec(registry)
    start = StartSaga("console-avro", "fulfil", 1, b'{"item": "lamp", "count": 1}')
    value = codec.encode_command(start)
    assert value[0] == 0
    assert b"\n" not in value
    assert value.decode()
    done = kafka.run_tool(
        "kafka-console-producer",
        "--topic",
        f"{saga.prefix}.commands",
        "--reader-property",
        "parse.key=true",
        "--reader-property",
        "key.separator=|",
        stdin=b"console-avro|" + value + b"\n",
    )

    assert done.returncode == 0, done.stderr
    with Client(saga.servers, prefix=saga.prefix, codec=codec) as client:
        assert client.wait("console-avro", timeout_s=60).business == "completed"
    assert saga.json("replay")["ok"]
