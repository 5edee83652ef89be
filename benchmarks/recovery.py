"""What an installation needs to come back: processes killed, stopped, frozen; stores and brokers lost.

Trips run all the time, so many in flight. Every figure is taken from outside: from when records of
`saga.events` and outcomes can be read as committed, and from the times in the workers' logs.
"""

from __future__ import annotations

import signal
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import psutil
from confluent_kafka.admin import AdminClient

from benchmarks.installation import Installation
from benchmarks.outage import Figures, Load, installed, owned, summed, tell, time_s
from benchmarks.rounds import write_result
from benchmarks.stores import cold, held
from orchestrator.errors import TimedOut
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.local_kafka import LocalKafka

DOWN_S = 1.0
"""How long the peers are down before they are restarted."""
LIFE_S = 6.0
"""How long a supervised worker lives before it is killed."""


def measure(kafka: KafkaSettings, options: Namespace) -> int:
    """Measure what is asked for; write and print. Gives 1 if a bar was missed."""
    found: dict[str, Any] = {}
    for name in options.only:
        found[name] = SCENARIOS[name](kafka, options)
        tell(name, found[name])
    path = write_result(options.name, vars(options), [], recovery=found)
    print(f"written to {path}")
    missed = [name for name in found if found[name].get("missed")]
    return int(bool(missed))


# --- processes ------------------------------------------------------------------------------------


def killed_alone(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """The peers' crash: `kill -9` of the only worker, 1 s down, started again with its store."""
    rows = []
    with installed(kafka) as (installation, load):
        for _ in range(options.rounds):
            load.warm_up()
            in_flight, kill_s = set(load.open), time.time()
            installation.kill("worker-0")
            time.sleep(DOWN_S)  # the fault itself
            restart_s = time.time()
            installation.start_worker()
            first_s = load.first_after(restart_s, {0, 1, 2, 3})
            rows.append(
                {
                    "restart_to_first_effect_s": first_s - restart_s,
                    "kill_to_all_in_flight_ended_s": load.all_ended(in_flight) - kill_s,
                }
            )
    return summed(rows, {"kill_to_all_in_flight_ended_s": 2.3})


def killed_supervised(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """`kill -9` of one of two workers below `saga worker --processes 2`, which restarts it at once."""
    rows = []
    with installed(kafka, worker_arguments=("--processes", "2")) as (installation, load):
        supervisor = psutil.Process(installation.pids("worker")[0])
        for _ in range(options.rounds):
            load.warm_up()
            child = _worker_child(supervisor, 0)
            # A supervisor gives up on a worker that dies young again and again.
            load.until(partial(_has_lived, child, LIFE_S), "the worker's life")
            in_flight = set(load.open)
            child.kill()
            kill_s = time.time()
            rows.append(
                {
                    "kill_to_first_effect_s": load.first_after(kill_s, {0, 1}) - kill_s,
                    "kill_to_all_in_flight_ended_s": load.all_ended(in_flight) - kill_s,
                }
            )
    return summed(rows, {"kill_to_first_effect_s": 2.0})


def stopped(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """A planned stop: SIGTERM, and the new process as soon as the old one has ended."""
    rows = []
    with installed(kafka) as (installation, load):
        for _ in range(options.rounds):
            load.warm_up()
            stop_s = time.time()
            installation.stop("worker-0")
            stopped_s = time.time()
            installation.start_worker()
            first_s = load.first_after(stopped_s, {0, 1, 2, 3})
            rows.append(
                {"stop_to_end_s": stopped_s - stop_s, "stop_to_first_effect_s": first_s - stop_s}
            )
        load.close()
        twice_count = _delivered_twice(installation)
    found = summed(rows, {"stop_to_first_effect_s": 2.0})
    found["delivered_twice"] = twice_count
    return found | ({"missed": [*found["missed"], "delivered_twice"]} if twice_count else {})


def lost(number: signal.Signals) -> Callable[[KafkaSettings, Namespace], dict[str, Any]]:
    """A worker is gone for good, killed or frozen; another one has the heir's warm copies."""

    def run(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
        rows = []
        with installed(kafka, workers=2) as (installation, load):
            for _ in range(options.rounds):
                load.warm_up()
                load.until(lambda: owned(installation, 0) == {0, 1}, "its shards")
                _pause(load, 4.0)  # so that standbys know whose heir they are
                rows.append(_lose(installation, load, number))
                installation.kill("worker-0")
                (installation.folder / "worker-0.log").unlink()
                installation.start_worker(0)
                load.until(lambda: owned(installation, 0) == {0, 1}, "its shards again")
        return summed(rows, {"take_over_s": 0.7})

    return run


def _lose(installation: Installation, load: Load, number: signal.Signals) -> Figures:
    in_flight, kill_s = set(load.open), time.time()
    installation.signal("worker-0", number)
    seen_count = len(installation.log("worker-1"))

    def after(event: str) -> list[float]:
        lines = installation.log("worker-1")[seen_count:]
        return [time_s(line) for line in lines if line["event"] == event]

    load.until(lambda: owned(installation, 1) == {0, 1, 2, 3}, "the heir")
    assigned_s = max(after("rebalance"))
    running_s = max(after("shard_running"))
    return {
        "detection_s": assigned_s - kill_s,
        "take_over_s": running_s - assigned_s,
        "kill_to_first_effect_s": load.first_after(assigned_s, {0, 1}) - kill_s,
        "kill_to_all_in_flight_ended_s": load.all_ended(in_flight) - kill_s,
    }


# --- brokers --------------------------------------------------------------------------------------


def broker(_: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """One of three brokers is killed: how long nothing is committed, and how long leaders are gone."""
    rows = []
    with LocalKafka(3) as local:
        kafka = KafkaSettings(bootstrap_servers=local.bootstrap_servers)
        with installed(kafka, replication=3, in_flight=20, revive=True) as (_, load):
            for number in range(options.rounds):
                node = local.nodes[number % 3]
                load.warm_up(100)
                kill_s = time.time()
                local.kill_node(node.id)
                led_s = load.until(partial(_is_led, local, node.id), "new leaders")
                _pause(load, 8.0)
                load.warm_up(100)
                began_s, ended_s = load.longest_gap(kill_s)
                rows.append(
                    {
                        "detection_s": led_s - kill_s,
                        "longest_gap_s": ended_s - began_s,
                        "kill_to_commits_s": ended_s - kill_s,
                        "commits_after_detection_s": ended_s - led_s,
                        "processes_restarted": float(load.revived_count),
                    }
                )
                local.start_node(node.id)
                load.warm_up(100)
                _pause(load, 5.0)
    return summed(rows, {"commits_after_detection_s": 3.0})


def _is_led(local: LocalKafka, dead: int) -> bool:
    """Whether no partition is led by the dead node any more."""
    servers = ",".join(node.address for node in local.running_nodes)
    found = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=5)
    leaders = [
        part.leader for topic in found.topics.values() for part in topic.partitions.values()
    ]
    return dead not in leaders and -1 not in leaders


# --- around them ----------------------------------------------------------------------------------


def _has_lived(process: psutil.Process, least_s: float) -> bool:
    return time.time() - process.create_time() >= least_s


def _worker_child(supervisor: psutil.Process, number: int) -> psutil.Process:
    for child in supervisor.children():
        words = child.cmdline()
        if "worker" in words and words[words.index("--instance") + 1] == str(number):
            return child
    raise TimedOut("recovery", f"worker {number} does not run")


def _delivered_twice(installation: Installation) -> int:
    """Step commands that lie in a participant's topic more than once."""
    admin = KafkaAdmin(installation.kafka)
    found: Counter[bytes | None] = Counter()
    reader = ChangelogReader(installation.kafka, "bench-recovery")
    for name in installation.participants:
        topic = installation.topics.participant_commands(name)
        for shard in range(admin.partitions([topic])[topic]):
            place = TopicPartition(topic, shard)
            end = admin.end_offsets([place])[place]
            for batch in reader.read(Position(topic, shard, 0), end):
                for envelope in batch:
                    found[dict(envelope.headers).get("id")] += 1
    reader.close()
    return sum(1 for times in found.values() if times > 1)


def _pause(load: Load, for_s: float) -> None:
    until_s = time.time() + for_s
    load.until(lambda: time.time() >= until_s, "time passes")


SCENARIOS: dict[str, Callable[[KafkaSettings, Namespace], dict[str, Any]]] = {
    "killed_alone": killed_alone,
    "killed_supervised": killed_supervised,
    "stopped": stopped,
    "lost_killed": lost(signal.SIGKILL),
    "lost_frozen": lost(signal.SIGSTOP),
    "cold": cold,
    "held": held,
    "broker": broker,
}
