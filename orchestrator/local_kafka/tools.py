"""Kafka's own command line tools, fetched like the broker, run in the foreground."""

from __future__ import annotations

import os
import subprocess

from orchestrator.errors import LocalKafkaError
from orchestrator.local_kafka.backend import TOOL_OPTIONS
from orchestrator.local_kafka.jars import TOOLS_LOCK, fetch
from orchestrator.local_kafka.java import find_java
from orchestrator.local_kafka.progress import OnProgress, silent

_MAIN_CLASSES = {
    "kafka-configs": "org.apache.kafka.tools.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
    "kafka-transactions": "org.apache.kafka.tools.TransactionsCommand",
}


def run_tool(
    name: str,
    bootstrap_servers: str,
    *arguments: str,
    stdin: bytes = b"",
    timeout_s: float = 60,
    on_progress: OnProgress = silent,
) -> subprocess.CompletedProcess[bytes]:
    """Run one of Kafka's tools to its end against any cluster.

    Args:
        name: Its name without `.sh`, such as `kafka-console-producer`.
        bootstrap_servers: The cluster; passed as `--bootstrap-server`.
        arguments: Further arguments.
        stdin: What it reads, such as the records to produce.
        timeout_s: How long it may take, in seconds.
        on_progress: Told about the download when the tools are not cached yet.

    Returns:
        Exit code, stdout and stderr.

    Raises:
        LocalKafkaError: No such tool, it cannot be fetched, or it took too long.
    """
    main_class = _MAIN_CLASSES.get(name)
    if main_class is None:
        raise LocalKafkaError(f"There is no tool {name}; there are {', '.join(_MAIN_CLASSES)}.")
    class_path = ":".join(map(str, fetch(TOOLS_LOCK, on_progress)))
    command = [str(find_java()), *TOOL_OPTIONS, main_class]
    try:
        return subprocess.run(  # noqa: S603 - our own jars and the caller's arguments
            [*command, "--bootstrap-server", bootstrap_servers, *arguments],
            env={**os.environ, "CLASSPATH": class_path},
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalKafkaError(f"{name} did not end within {timeout_s:.0f} s.") from error
