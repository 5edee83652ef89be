"""What an installation needs to come back: processes killed, stopped, frozen; stores and brokers lost.

Trips run all the time, so many in flight. Every figure is taken from outside: from when records of
`saga.events` and outcomes can be read as committed, and from the times in the workers' logs.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import uuid
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import count, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from confluent_kafka.admin import AdminClient

from benchmarks import workload
from benchmarks.figures import spread
from benchmarks.installation import Installation
from benchmarks.long import SLEEPERS, TOUCHERS
from benchmarks.monitor import rss_mb
from benchmarks.rounds import write_result
from benchmarks.size import MODULES, sleepers
from benchmarks.trip import NAMES
from orchestrator.client import Client
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import OrchestratorError, TimedOut
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.base import Position, TopicPartition
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.kafka.follower import Follower
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.local_kafka import LocalKafka

if TYPE_CHECKING:
    from orchestrator import Start

DOWN_S = 1.0
"""How long the peers are down before they are restarted."""
PATIENCE_S = 60.0
WARM_COUNT = 500
LIFE_S = 6.0
"""How long a supervised worker lives before it is killed."""
_CHUNK_COUNT = 20_000
_SAMPLE_COUNT = 2_000

Figures = dict[str, float]
Log = list[dict[str, Any]]


class Load:
    """Trips without end, and what is seen of them. Times are wall clock, in s, as in the logs."""

    def __init__(
        self, installation: Installation, in_flight: int, *, revive: bool = False
    ) -> None:
        """Connect. `revive`: what ends by itself is started again."""
        self._installation = installation
        self._revive = revive
        self.revived_count = 0
        topics, partitions = installation.topics, installation.partitions
        self._client = Client(settings=installation.kafka, prefix=topics.prefix)
        self._outcomes = topics.outcomes
        followed = [(topics.outcomes, partitions), (topics.events, partitions)]
        self._follower = Follower(installation.kafka, followed, "bench-recovery")
        self._codec = RecordCodec()
        self._trips = _trips()
        self._in_flight = in_flight
        self.open: dict[str, float] = {}
        self.ends: dict[str, float] = {}
        self.seen: list[tuple[float, float, int]] = []
        """When a transition could be read as committed, when it was written, and of which shard."""

    def turn(self) -> None:
        """Read what is there; replace what has ended."""
        if self._revive:
            self.revived_count += self._installation.revive()
        missing = self._in_flight - len(self.open)
        if missing > 0:
            starts = list(islice(self._trips, missing))
            now_s = time.time()
            try:
                self._client.start_many(starts)
            except OrchestratorError:
                return  # a broker is away: they may have been started, but nobody counts on them
            self.open.update((saga, now_s) for saga, _ in starts)
        for envelope in self._follower.poll(2_000, 0.02):
            now_s = time.time()
            if envelope.origin.topic == self._outcomes:
                saga = self._codec.decode_outcome(envelope.value or b"").saga
                if self.open.pop(saga, None) is not None:
                    self.ends[saga] = now_s
            else:
                written_s = envelope.timestamp_ms / 1e3
                self.seen.append((now_s, written_s, envelope.origin.partition))

    def until(self, condition: Callable[[], object], what: str) -> float:
        """Turn until a condition holds; give when it did.

        Raises:
            TimedOut: It did not.
        """
        until_s = time.time() + PATIENCE_S
        while not condition():
            self.turn()
            if time.time() > until_s:
                raise TimedOut("recovery", f"not in {PATIENCE_S:.0f} s: {what}")
        return time.time()

    def warm_up(self, ends_count: int = WARM_COUNT) -> None:
        """Until some trips have ended."""
        wanted = len(self.ends) + ends_count
        self.until(lambda: len(self.ends) >= wanted, "warm")

    def all_ended(self, sagas: set[str]) -> float:
        """Give when the last of them ended."""
        self.until(lambda: sagas <= self.ends.keys(), "the end of those in flight")
        return max(self.ends[saga] for saga in sagas)

    def first_after(self, moment_s: float, shards: set[int]) -> float:
        """Give when the first transition of these shards was seen that was written after a moment."""

        def found() -> list[float]:
            return [
                at_s
                for at_s, written_s, shard in self.seen
                if written_s > moment_s and shard in shards
            ]

        self.until(found, "the first transition")
        return found()[0]

    def longest_gap(self, from_s: float) -> tuple[float, float]:
        """Give the longest time without any transition since then: its begin and its end."""
        times = [from_s, *(at_s for at_s, _, _ in self.seen if at_s > from_s)]
        return max(pairwise(times), key=lambda gap: gap[1] - gap[0])

    def close(self) -> None:
        """Let what is under way end, and release connections."""
        self._in_flight = 0
        self.until(lambda: not self.open, "the end of all")
        self._client.close()
        self._follower.close()


def measure(kafka: KafkaSettings, options: Namespace) -> int:
    """Measure what is asked for; write and print. Gives 1 if a bar was missed."""
    found: dict[str, Any] = {}
    for name in options.only:
        found[name] = SCENARIOS[name](kafka, options)
        _tell(name, found[name])
    path = write_result(options.name, vars(options), [], recovery=found)
    print(f"written to {path}")
    missed = [name for name in found if found[name].get("missed")]
    return int(bool(missed))


# --- processes ------------------------------------------------------------------------------------


def killed_alone(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """The peers' crash: `kill -9` of the only worker, 1 s down, started again with its store."""
    rows = []
    with _installed(kafka) as (installation, load):
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
    return _summed(rows, {"kill_to_all_in_flight_ended_s": 2.3})


def killed_supervised(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """`kill -9` of one of two workers below `saga worker --processes 2`, which restarts it at once."""
    rows = []
    with _installed(kafka, worker_arguments=("--processes", "2")) as (installation, load):
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
    return _summed(rows, {"kill_to_first_effect_s": 2.0})


def stopped(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """A planned stop: SIGTERM, and the new process as soon as the old one has ended."""
    rows = []
    with _installed(kafka) as (installation, load):
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
    found = _summed(rows, {"stop_to_first_effect_s": 2.0})
    found["delivered_twice"] = twice_count
    return found | ({"missed": [*found["missed"], "delivered_twice"]} if twice_count else {})


def lost(number: signal.Signals) -> Callable[[KafkaSettings, Namespace], dict[str, Any]]:
    """A worker is gone for good, killed or frozen; another one has the heir's warm copies."""

    def run(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
        rows = []
        with _installed(kafka, workers=2) as (installation, load):
            for _ in range(options.rounds):
                load.warm_up()
                load.until(lambda: _owned(installation, 0) == {0, 1}, "its shards")
                _pause(load, 4.0)  # so that standbys know whose heir they are
                rows.append(_lose(installation, load, number))
                installation.kill("worker-0")
                (installation.folder / "worker-0.log").unlink()
                installation.start_worker(0)
                load.until(lambda: _owned(installation, 0) == {0, 1}, "its shards again")
        return _summed(rows, {"take_over_s": 0.7})

    return run


def _lose(installation: Installation, load: Load, number: signal.Signals) -> Figures:
    in_flight, kill_s = set(load.open), time.time()
    installation.signal("worker-0", number)
    seen_count = len(installation.log("worker-1"))

    def after(event: str) -> list[float]:
        lines = installation.log("worker-1")[seen_count:]
        return [_time_s(line) for line in lines if line["event"] == event]

    load.until(lambda: _owned(installation, 1) == {0, 1, 2, 3}, "the heir")
    assigned_s = max(after("rebalance"))
    running_s = max(after("shard_running"))
    return {
        "detection_s": assigned_s - kill_s,
        "take_over_s": running_s - assigned_s,
        "kill_to_first_effect_s": load.first_after(assigned_s, {0, 1}) - kill_s,
        "kill_to_all_in_flight_ended_s": load.all_ended(in_flight) - kill_s,
    }


# --- stores ---------------------------------------------------------------------------------------


def cold(kafka: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """The store is lost: everything is read from the changelog, with so many sagas in it."""
    levels, filled = {}, 0
    waiting = sleepers()
    with _installed(kafka, load=False) as (installation, _):
        client = Client(settings=kafka, prefix=installation.topics.prefix)
        for level in sorted(options.levels):
            while filled < level:
                step = min(_CHUNK_COUNT, level - filled)
                client.start_many(islice(waiting, step))
                filled += step
            _await_taken(installation, filled)
            rows = [_restored(installation) for _ in range(options.rounds)]
            bar = {"records_per_s": -100_000.0}
            levels[f"{level}"] = _summed(rows, bar)
            _tell(f"cold, {level:,} sagas", levels[f"{level}"])
        client.close()
    return {"levels": levels, "missed": [x for each in levels.values() for x in each["missed"]]}


def _restored(installation: Installation) -> Figures:
    installation.stop("worker-0")
    shutil.rmtree(installation.folder / "stores")
    (installation.folder / "worker-0.log").unlink()
    installation.start_worker()
    _await(lambda: len(_events(installation.log("worker-0"), "shard_running")) == 4, "restored")
    log = installation.log("worker-0")
    running = _events(log, "shard_running")
    took_s = _time_s(running[-1]) - _time_s(_events(log, "rebalance")[0])
    records_count = sum(line["restored_count"] for line in running)
    return {
        "records": records_count,
        "seconds": took_s,
        "records_per_s": records_count / took_s,
        "mb_per_s": records_count * _snapshot_bytes(installation) / took_s / 1e6,
        "worker_rss_mb": rss_mb(installation.pids("worker")[0]),
    }


def _snapshot_bytes(installation: Installation) -> float:
    """Mean size of the changelog's values."""
    reader = ChangelogReader(installation.kafka, "bench-recovery")
    place = Position(installation.topics.changelog, 0, 0)
    sizes = [len(e.value or b"") for batch in reader.read(place, _SAMPLE_COUNT) for e in batch]
    reader.close()
    return sum(sizes) / len(sizes)


def _await_taken(installation: Installation, wanted: int) -> None:
    """Wait until so many sagas have begun: until their step commands are all written."""
    admin = KafkaAdmin(installation.kafka)
    topic = installation.topics.commands
    places = [TopicPartition(topic, shard) for shard in range(installation.partitions)]
    group = installation.topics.prefix

    def taken() -> bool:
        found = admin.positions(group)
        return sum(found.get(place, 0) for place in places) >= wanted

    _await(taken, f"{wanted} starts taken", patience_s=600)


# --- brokers --------------------------------------------------------------------------------------


def broker(_: KafkaSettings, options: Namespace) -> dict[str, Any]:
    """One of three brokers is killed: how long nothing is committed, and how long leaders are gone."""
    rows = []
    with LocalKafka(3) as local:
        kafka = KafkaSettings(bootstrap_servers=local.bootstrap_servers)
        with _installed(kafka, replication=3, in_flight=20, revive=True) as (_, load):
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
    return _summed(rows, {"commits_after_detection_s": 3.0})


def _is_led(local: LocalKafka, dead: int) -> bool:
    """Whether no partition is led by the dead node any more."""
    servers = ",".join(node.address for node in local.running_nodes)
    found = AdminClient({"bootstrap.servers": servers}).list_topics(timeout=5)
    leaders = [
        part.leader for topic in found.topics.values() for part in topic.partitions.values()
    ]
    return dead not in leaders and -1 not in leaders


# --- around them ----------------------------------------------------------------------------------


@contextmanager
def _installed(
    kafka: KafkaSettings,
    *,
    load: bool = True,
    in_flight: int = 100,
    revive: bool = False,
    **how: Any,
) -> Iterator[tuple[Installation, Load]]:
    run = uuid.uuid4().hex[:8]
    with tempfile.TemporaryDirectory(prefix="saga-bench-") as folder:
        installation = Installation(
            kafka,
            Path(folder),
            run=run,
            participants=NAMES if load else (),
            silent=(SLEEPERS, TOUCHERS) if load else (*NAMES, SLEEPERS, TOUCHERS),
            modules=MODULES,
            **how,
        )
        with installation:
            installation.start()
            driven = Load(installation, in_flight if load else 0, revive=revive)
            yield installation, driven


def _trips() -> Iterator[tuple[str, Start[Any]]]:
    for batch in count():
        yield from workload.starts(f"r{batch}", _CHUNK_COUNT)


def _owned(installation: Installation, number: int) -> set[int]:
    """Shards that a worker runs, by its log since its last start or rebalance."""
    owned: set[int] = set()
    for line in installation.log(f"worker-{number}"):
        if line["event"] in {"rebalance", "worker_ready"}:
            owned = set()
        elif line["event"] == "shard_running":
            owned.add(line["shard"])
    return owned


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


def _events(log: Log, event: str) -> Log:
    return [line for line in log if line.get("event") == event]


def _time_s(line: dict[str, Any]) -> float:
    return datetime.fromisoformat(line["time"]).timestamp()


def _pause(load: Load, for_s: float) -> None:
    until_s = time.time() + for_s
    load.until(lambda: time.time() >= until_s, "time passes")


def _await(condition: Callable[[], object], what: str, patience_s: float = 120.0) -> None:
    until_s = time.time() + patience_s
    while not condition():
        if time.time() > until_s:
            raise TimedOut("recovery", f"not in {patience_s:.0f} s: {what}")
        time.sleep(0.05)


def _summed(rows: list[Figures], bars: Figures) -> dict[str, Any]:
    """Medians of several rounds; a bar below 0 is the least, others the most that is allowed."""
    found: dict[str, Any] = {key: spread(row[key] for row in rows) for key in rows[0]}
    missed = [
        key
        for key, bar in bars.items()
        if (found[key]["median"] > bar if bar >= 0 else found[key]["median"] < -bar)
    ]
    return {**found, "rounds": len(rows), "bars": bars, "missed": missed}


def _tell(name: str, found: dict[str, Any]) -> None:
    print(name)
    for key, value in found.items():
        if isinstance(value, dict) and "median" in value:
            bar = abs(found["bars"].get(key, 0.0))
            print(
                f"  {key:<32} {value['median']:>12,.2f} ({value['min']:,.2f} to {value['max']:,.2f})"
                + (
                    f"  bar {bar:,.1f}{' MISSED' if key in found['missed'] else ''}" if bar else ""
                ),
                flush=True,
            )
        elif isinstance(value, int):
            print(f"  {key:<32} {value:>12,}", flush=True)


SCENARIOS: dict[str, Callable[[KafkaSettings, Namespace], dict[str, Any]]] = {
    "killed_alone": killed_alone,
    "killed_supervised": killed_supervised,
    "stopped": stopped,
    "lost_killed": lost(signal.SIGKILL),
    "lost_frozen": lost(signal.SIGSTOP),
    "cold": cold,
    "broker": broker,
}
