"""`LocalKafka`: a real Apache Kafka for development and tests, from nothing."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka import probe
from orchestrator.local_kafka.backend import (
    BROKER_OPTIONS,
    TOOL_OPTIONS,
    Backend,
    Handle,
    ProcessBackend,
    stop_all,
)
from orchestrator.local_kafka.progress import OnProgress, Phase, Progress, silent
from orchestrator.local_kafka.settings import LOOPBACK, Node, free_ports, properties
from orchestrator.local_kafka.tools import run_tool

# A cold broker on a busy two-core machine takes 10 s, three of them 30 s.
_READY_TIMEOUT_S = 120.0
_FORMAT_TIMEOUT_S = 60.0
# A clean stop takes 0.3 s. A node of a cluster that has lost its quorum never finishes one.
_STOP_GRACE_S = 15.0
_SHOWN_LOG_LINES = 12
_START_ATTEMPTS_COUNT = 3
_LOGGING_CONFIGURATION = "log4j2.xml"
_ALLOWED_NODE_COUNTS = (1, 3)


class LocalKafka:
    """An Apache Kafka 4.4 cluster of one node or three on this machine, on loopback only.

    A context manager; or call `start` and `stop`. It ends when this process ends, however that
    comes about. What it writes goes to one directory, deleted at the end unless it was given.
    """

    def __init__(
        self,
        nodes: Literal[1, 3] = 1,
        data_dir: Path | None = None,
        *,
        backend: Literal["process", "docker"] = "process",
        on_progress: OnProgress = silent,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        advertised: Callable[[str], str] | None = None,
    ) -> None:
        """Describe the cluster; nothing happens before `start`.

        Args:
            nodes: 1, or 3 with replication 3 and two replicas in sync.
            data_dir: Where to keep the data from one start to the next. None: thrown away.
            backend: Java processes of this machine, or containers of its Docker engine.
            on_progress: Told about every step forward; see `shown_progress`.
            port: Port of the first node for clients; 0 picks a free one at each start.
            settings: Broker settings that win over ours.
            advertised: For clients that shall come through a proxy (`testing.frame_proxy`): is given
                a node's second address as host:port, and gives that of the proxy before it. Such
                clients begin with `advertised_servers`.

        Raises:
            LocalKafkaError: `nodes` is neither 1 nor 3.
        """
        if nodes not in _ALLOWED_NODE_COUNTS:
            raise LocalKafkaError(f"A local cluster has 1 node or 3, not {nodes}.")
        self._node_count = nodes
        self._kept_dir = data_dir
        self._backend_name = backend
        self._on_progress = on_progress
        self._port = port
        self._settings = dict(settings or {})
        self._advertised = advertised
        self._directory: Path | None = None
        self._backend: Backend | None = None
        self._nodes: tuple[Node, ...] = ()
        self._running: dict[int, Handle] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """What a client's `bootstrap.servers` wants: every node, running or not."""
        return ",".join(node.address for node in self.nodes)

    @property
    def advertised_servers(self) -> str:
        """The same for clients that shall come through the proxy."""
        return ",".join(node.advertised for node in self.nodes)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, by id from 1.

        Raises:
            LocalKafkaError: The cluster was not started.
        """
        if not self._nodes:
            raise LocalKafkaError("This local cluster is not started.")
        return self._nodes

    @property
    def running_nodes(self) -> tuple[Node, ...]:
        """The nodes whose process or container is alive."""
        return tuple(
            node
            for node in self._nodes
            if node.id in self._running and self._running[node.id].exit_code is None
        )

    def start(self) -> None:
        """Fetch what is missing, start all nodes, return when all of them serve clients.

        Raises:
            LocalKafkaError: It cannot; the text says why and how to go on. Nothing is left running.
        """
        if self._nodes:
            raise LocalKafkaError("This local cluster is started already.")
        for attempt in range(1, _START_ATTEMPTS_COUNT + 1):
            try:
                self._start()
            except _PortTaken:
                self._give_up()
                if self._port or attempt == _START_ATTEMPTS_COUNT:
                    raise
            except BaseException:
                self._give_up()
                raise
            else:
                return

    def stop(self) -> None:
        """Stop all nodes and delete the data unless `data_dir` was given. Idempotent."""
        if self._kept_dir is None:
            self._kill_all()  # nothing to save, so no reason to wait
            if self._directory:
                shutil.rmtree(self._directory, ignore_errors=True)
        else:
            stop_all(self._running.values(), _STOP_GRACE_S)
        self._running.clear()
        self._nodes = ()
        self._directory = None

    def stop_node(self, node_id: int) -> None:
        """Stop one node in an orderly way; SIGKILL if that takes too long."""
        stop_all([self._handle(node_id)], _STOP_GRACE_S)
        del self._running[node_id]

    def kill_node(self, node_id: int) -> None:
        """Kill one node with SIGKILL, as a crash would. Its data stays."""
        self._handle(node_id).kill()
        del self._running[node_id]

    def start_node(self, node_id: int) -> None:
        """Start a node that was stopped or killed, with its data and ports; wait until it serves.

        Raises:
            LocalKafkaError: It runs already, there is no such node, or it does not come up.
        """
        node = self._node(node_id)
        if node_id in self._running:
            if self._running[node_id].exit_code is None:
                raise LocalKafkaError(f"Node {node_id} runs already.")
            del self._running[node_id]
        self._launch(node)
        self._await_ready()

    def restart_node(self, node_id: int) -> None:
        """Stop a node in an orderly way and start it again."""
        self.stop_node(node_id)
        self.start_node(node_id)

    def run_tool(
        self, name: str, *arguments: str, stdin: bytes = b"", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one of Kafka's own tools against this cluster; see `tools.run_tool`."""
        return run_tool(
            name,
            self.bootstrap_servers,
            *arguments,
            stdin=stdin,
            timeout_s=timeout_s,
            on_progress=self._on_progress,
        )

    def _start(self) -> None:
        self._backend = _backend(self._backend_name)
        self._backend.prepare(self._on_progress)
        self._nodes = self._lay_out()
        with as_file(files("orchestrator.local_kafka") / _LOGGING_CONFIGURATION) as logging:
            for node in self._nodes:
                node.directory.mkdir(parents=True, exist_ok=True)
                node.properties_path.write_text(properties(node, self._nodes, self._settings))
                shutil.copyfile(logging, node.directory / _LOGGING_CONFIGURATION)
        self._format()
        for node in self._nodes:
            self._launch(node)
        self._await_ready()

    def _give_up(self) -> None:
        self._kill_all()
        self._nodes = ()

    def _lay_out(self) -> tuple[Node, ...]:
        self._directory = self._directory or self._own_directory()
        kept_count = sum(1 for _ in self._directory.glob("node-*"))
        if kept_count not in {0, self._node_count}:
            raise LocalKafkaError(
                f"{self._directory} holds a cluster of {kept_count} nodes, not"
                f" {self._node_count}: use that number, another directory, or delete it."
            )
        tell = self._advertised
        ports = free_ports((2 if tell is None else 3) * self._node_count)
        if self._port:
            ports[0] = self._port
        nodes = tuple(
            Node(
                id=node_id,
                client_port=ports.pop(0),
                controller_port=ports.pop(),
                directory=self._directory / f"node-{node_id}",
            )
            for node_id in range(1, self._node_count + 1)
        )
        if tell is None:
            return nodes
        return tuple(
            replace(node, proxied_port=port, advertised=tell(f"{LOOPBACK}:{port}"))
            for node, port in zip(nodes, ports, strict=True)
        )

    def _own_directory(self) -> Path:
        if self._kept_dir is None:
            return Path(tempfile.mkdtemp(prefix="saga-kafka-"))
        try:
            self._kept_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LocalKafkaError(f"Kafka's data cannot be kept: {error}") from error
        return self._kept_dir.resolve()

    def _format(self) -> None:
        """Give new nodes their identity; all at once, since each costs a start of Java."""
        new = [node for node in self._nodes if not node.meta_path.exists()]
        cluster_id = _cluster_id(self._nodes)
        formatting = [(node, self._run(node, *_format_command(cluster_id, node))) for node in new]
        for done_count, (node, handle) in enumerate(formatting):
            self._report(Phase.FORMAT, f"node {node.id}", done_count, len(new))
            try:
                failed = handle.wait(_FORMAT_TIMEOUT_S) != 0
            except subprocess.TimeoutExpired:
                handle.kill()
                failed = True
            if failed:
                raise _failure(node, "its storage could not be formatted")
        if new:
            self._report(Phase.FORMAT, "", len(new), len(new))

    def _launch(self, node: Node) -> None:
        command = (*BROKER_OPTIONS, *_logging_options(node), "kafka.Kafka")
        self._running[node.id] = self._run(node, *command, str(node.properties_path))

    def _run(self, node: Node, *arguments: str) -> Handle:
        if self._backend is None or self._directory is None:
            raise LocalKafkaError("This local cluster is not started.")
        thrown_away = self._directory if self._kept_dir is None else None
        return self._backend.launch(f"node {node.id}", arguments, node.output_path, thrown_away)

    def _await_ready(self) -> None:
        """Wait until the running nodes know each other and both kinds of coordinator work."""
        deadline = time.monotonic() + _READY_TIMEOUT_S
        running = [node for node in self._nodes if node.id in self._running]
        for done_count, node in enumerate(running):
            self._report(Phase.START, f"node {node.id}", done_count, len(running))
            while not _answers(node, len(running)):
                self._check_alive(deadline)
        servers = ",".join(node.address for node in running)
        probe.wake_transaction_coordinator(servers)
        # A client that was told "not yet" waits 0.5 s before it asks again; a new client does not.
        timeout_s = 0.2
        while not probe.group_coordinator_answers(servers, timeout_s):
            self._check_alive(deadline)
            timeout_s = min(2 * timeout_s, 3)
        self._report(Phase.READY, self.bootstrap_servers, len(running), len(running))

    def _check_alive(self, deadline: float) -> None:
        for node in self._nodes:
            if node.id in self._running and self._running[node.id].exit_code is not None:
                raise _failure(node, "it ended while it was starting")
        if time.monotonic() > deadline:
            raise _failure(self._nodes[0], f"no answer within {_READY_TIMEOUT_S:.0f} s")
        probe.pause()

    def _kill_all(self) -> None:
        for handle in self._running.values():
            handle.kill()
        self._running.clear()

    def _node(self, node_id: int) -> Node:
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise LocalKafkaError(f"There is no node {node_id}, only 1 to {len(self.nodes)}.")

    def _handle(self, node_id: int) -> Handle:
        self._node(node_id)
        if node_id not in self._running:
            raise LocalKafkaError(f"Node {node_id} does not run.")
        return self._running[node_id]

    def _report(self, phase: Phase, what: str, done: int, total: int) -> None:
        self._on_progress(Progress(phase, what, done, total))


class _PortTaken(LocalKafkaError):
    """Somebody took a port between our choice and the broker's start."""


def _backend(name: str) -> Backend:
    if name == "docker":
        from orchestrator.local_kafka.docker import DockerBackend  # noqa: PLC0415 - optional extra

        return DockerBackend()
    return ProcessBackend()


def _answers(node: Node, expected_count: int) -> bool:
    if not probe.accepts(LOOPBACK, node.client_port):
        return False
    return probe.broker_count(node.address) >= expected_count


def _cluster_id(nodes: tuple[Node, ...]) -> str:
    """The id of the cluster that is there already, or a new one."""
    for node in nodes:
        if node.meta_path.exists():
            for line in node.meta_path.read_text().splitlines():
                if line.startswith("cluster.id="):
                    return line.removeprefix("cluster.id=")
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _format_command(cluster_id: str, node: Node) -> tuple[str, ...]:
    tool = (*TOOL_OPTIONS, *_logging_options(node), "kafka.tools.StorageTool")
    return (*tool, "format", f"--cluster-id={cluster_id}", f"--config={node.properties_path}")


def _logging_options(node: Node) -> tuple[str, ...]:
    configuration = node.directory / _LOGGING_CONFIGURATION
    return (f"-Dlog4j2.configurationFile={configuration}", f"-Dsaga.log={node.log_path}")


def _failure(node: Node, what: str) -> LocalKafkaError:
    lines = [
        line
        for path in (node.output_path, node.log_path)
        if path.exists()
        for line in path.read_text(errors="replace").splitlines()
        if "ERROR" in line or "FATAL" in line or "Exception" in line
    ]
    shown = "\n".join(lines[-_SHOWN_LOG_LINES:]) or "(its logs name no error)"
    kind = _PortTaken if "Address already in use" in shown else LocalKafkaError
    return kind(f"Kafka node {node.id} failed: {what}.\n{shown}\nIts logs: {node.directory}")
