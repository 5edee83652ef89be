"""The broker's configuration: what a development cluster wants to differ from Kafka's defaults."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import LocalKafkaError

LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 32_000)

# Each line is a difference from Kafka's default, with the reason for it.
_DEVELOPMENT = {
    # A group's first members are served at once instead of after 3 s.
    "group.initial.rebalance.delay.ms": "0",
    # A mistyped topic name is an error, not a new topic.
    "auto.create.topics.enable": "false",
    # 50 partitions each cost seconds of start-up and serve thousands of groups; we have a few.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    # A transaction whose owner died is aborted 1 s after its timeout instead of up to 10 s.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # The default of 128 MB for each cleaner is a quarter of our heap.
    "log.cleaner.dedupe.buffer.size": "16777216",
    # A node that was killed may register again once its old self counts as dead: 5 s after the
    # start instead of 14. The price: a node that stands still for 4 s loses its leaders.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    # A broker that comes back is a leader again within seconds, not within 5 minutes.
    "leader.imbalance.check.interval.seconds": "5",
    # Two cores are what a development machine has to spare.
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "1",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a local cluster: broker and controller in one process."""

    id: int
    """From 1."""
    client_port: int
    controller_port: int
    directory: Path
    """Holds everything of this node: data, configuration, logs."""
    proxied_port: int = 0
    """Where a proxy reaches this node, if there is one."""
    advertised: str = ""
    """Where clients reach that proxy, as host:port."""

    @property
    def address(self) -> str:
        """Where clients reach this node, as host:port."""
        return f"{LOOPBACK}:{self.client_port}"

    @property
    def data_dir(self) -> Path:
        """The broker's own log directory."""
        return self.directory / "data"

    @property
    def meta_path(self) -> Path:
        """Who this node is; there once its storage was formatted."""
        return self.data_dir / "meta.properties"

    @property
    def log_path(self) -> Path:
        """The broker's log, for people."""
        return self.directory / "broker.log"

    @property
    def output_path(self) -> Path:
        """What the Java process itself printed."""
        return self.directory / "output.log"

    @property
    def properties_path(self) -> Path:
        """The configuration that the broker was started with."""
        return self.directory / "server.properties"


def properties(node: Node, nodes: tuple[Node, ...], overrides: Mapping[str, str]) -> str:
    """The `server.properties` of one node of a cluster; `overrides` win over everything."""
    replica_count = min(3, len(nodes))
    in_sync_count = max(1, replica_count - 1)
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node.id),
        "controller.quorum.voters": ",".join(
            f"{peer.id}@{LOOPBACK}:{peer.controller_port}" for peer in nodes
        ),
        "listeners": f"CLIENT://{node.address},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": f"CLIENT://{node.address}",
        "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "CLIENT",
        "log.dirs": str(node.data_dir),
        "default.replication.factor": str(replica_count),
        "min.insync.replicas": str(in_sync_count),
        "offsets.topic.replication.factor": str(replica_count),
        "transaction.state.log.replication.factor": str(replica_count),
        "transaction.state.log.min.isr": str(in_sync_count),
        "share.coordinator.state.topic.replication.factor": str(replica_count),
        "share.coordinator.state.topic.min.isr": str(in_sync_count),
        **_DEVELOPMENT,
    }
    if node.advertised:
        # A listener of its own: who comes through the proxy is told the proxies' addresses only,
        # and everybody else never meets them.
        settings["listeners"] += f",PROXIED://{LOOPBACK}:{node.proxied_port}"
        settings["advertised.listeners"] += f",PROXIED://{node.advertised}"
        settings["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
    settings |= overrides
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on, all different.

    They lie below the range that systems take for outgoing connections: a client that keeps asking
    for a dead node's port from that range would one day be given the same port, connect to itself,
    and keep the node from coming back.
    """
    with ExitStack() as held:
        return [_hold_free_port(held) for _ in range(count)]


def _hold_free_port(held: ExitStack) -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        one = held.enter_context(socket.socket())
        try:
            one.bind((LOOPBACK, port))
        except OSError:
            continue
        return port
    raise LocalKafkaError(f"All ports from {_PORTS.start} to {_PORTS.stop - 1} are in use.")
