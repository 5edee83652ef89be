"""What tests ask of brokers, and do to them, beyond what the product needs."""

from __future__ import annotations

import os
import signal
import socket
import struct
from pathlib import Path

from confluent_kafka.admin import AdminClient
from town import wait_until

OFFSETS, TRANSACTIONS = "__consumer_offsets", "__transaction_state"
"""Where coordinators keep what they know; who leads a partition of these is the coordinator."""
_HEAD = struct.Struct(">hhihx")
"""API, version, correlation id, no client id, no tags."""
_ELECT_LEADERS, _ALTER_PARTITION_REASSIGNMENTS = 43, 45
_TIMEOUT = struct.pack(">i", 10_000)
_NO_TAGS = b"\0"


def admin_of(kafka):
    """A client for questions; nothing of it stays."""
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})


def partitions(kafka, names=None):
    """Metadata of each partition, by topic and number: all, or those of these topics."""
    topics = admin_of(kafka).list_topics(timeout=10).topics
    return {
        (name, number): partition
        for name, topic in topics.items()
        for number, partition in topic.partitions.items()
        if names is None or name in names
    }


def topics_of(town):
    """Every topic that an installation needs, those of the coordinators as well."""
    return [OFFSETS, TRANSACTIONS, *(spec.name for spec in town._specs())]


def led_by(kafka, node, names):
    """The partitions that a node leads."""
    found = partitions(kafka, names).items()
    return {place for place, partition in found if partition.leader == node}


def wait_in_sync(kafka):
    """Wait until every partition has a leader and all its replicas."""

    def met():
        found = partitions(kafka).values()
        return all(p.leader >= 0 and len(p.isrs) == len(p.replicas) for p in found)

    wait_until(met, "all replicas in sync")


def coordinator(town, role):
    """The node that coordinates the group, or the transactions of worker 0."""
    admin = admin_of(town.kafka)
    if role == "group":
        futures = admin.describe_consumer_groups([town.prefix], request_timeout=10)
        return wait_until(lambda: futures[town.prefix].result(10).coordinator, "coordinator").id
    log = admin.list_topics(TRANSACTIONS, timeout=10).topics[TRANSACTIONS].partitions
    return log[java_hash(f"{town.prefix}-000") % len(log)].leader


def java_hash(text):
    """The hash by which brokers choose a transactional id's partition, without its sign."""
    value = 0
    for letter in text:
        value = (31 * value + ord(letter)) & 0xFFFF_FFFF
    return min(value, (1 << 32) - value)


def freeze_node(kafka, node):
    """Stop a broker's process where it stands; returns when it does."""
    pid = kafka._handle(node).pid
    os.kill(pid, signal.SIGSTOP)
    state = Path(f"/proc/{pid}/stat")
    wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "standstill")


def thaw_node(kafka, node):
    """Let a frozen broker go on."""
    os.kill(kafka._handle(node).pid, signal.SIGCONT)


def move_leaders(kafka, names, turn):
    """Let every partition of these topics be led by another of its replicas, by election."""
    wanted = {}
    for (name, number), partition in partitions(kafka, names).items():
        replicas = sorted(partition.replicas)
        turned = replicas[turn % 3 :] + replicas[: turn % 3]
        wanted.setdefault(name, {})[number] = turned
    # The first of the replicas is who should lead. Ordering them anew moves no data.
    ordered = [
        _text(name)
        + _array([_int(n) + _array(map(_int, ids)) + _NO_TAGS for n, ids in of.items()])
        for name, of in wanted.items()
    ]
    _ask(
        kafka,
        _ALTER_PARTITION_REASSIGNMENTS,
        0,
        _TIMEOUT + _array(each + _NO_TAGS for each in ordered),
    )
    elected = [_text(name) + _array(map(_int, of)) + _NO_TAGS for name, of in wanted.items()]
    _ask(kafka, _ELECT_LEADERS, 2, b"\0" + _array(elected) + _TIMEOUT)


def lead_elsewhere(kafka, node, names):
    """Let a node lead no partition of these topics."""
    move_leaders(kafka, names, node)  # whose turn it is: never the one of this number
    wait_until(lambda: not led_by(kafka, node, names), "other leaders")


def _ask(kafka, api, version, body):
    """A request that the client library does not have; complains if it was refused as a whole."""
    host, _, port = kafka.running_nodes[0].address.rpartition(":")
    body = _HEAD.pack(api, version, 1, -1) + body + _NO_TAGS
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(_int(len(body)) + body)
        size = int.from_bytes(connection.recv(4, socket.MSG_WAITALL), "big")
        answer = connection.recv(size, socket.MSG_WAITALL)
    # Correlation id, no tags, throttle time, then the code of the whole request.
    assert int.from_bytes(answer[9:11], "big") == 0, answer


def _int(value):
    return struct.pack(">i", value)


def _text(value):
    return _length(len(value)) + value.encode()


def _array(items):
    items = list(items)
    return _length(len(items)) + b"".join(items)


def _length(count):
    """Kafka's compact length: one more than it is, seven bits a byte."""
    value, found = count + 1, b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])
