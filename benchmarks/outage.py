"""What the measurements of recovery share: an installation, trips in flight, what is seen of both."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import count, islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import workload
from benchmarks.figures import spread
from benchmarks.installation import Installation
from benchmarks.long import SLEEPERS, TOUCHERS
from benchmarks.size import MODULES
from benchmarks.trip import NAMES
from orchestrator.client import Client
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import OrchestratorError, TimedOut
from orchestrator.kafka.follower import Follower
from orchestrator.kafka.settings import KafkaSettings

if TYPE_CHECKING:
    from orchestrator import Start

PATIENCE_S = 60.0
WARM_COUNT = 500
_CHUNK_COUNT = 20_000

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


@contextmanager
def installed(
    kafka: KafkaSettings,
    *,
    load: bool = True,
    in_flight: int = 100,
    revive: bool = False,
    **how: Any,
) -> Iterator[tuple[Installation, Load]]:
    """Give a fresh installation, and trips in flight in it, if there is to be load."""
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


def owned(installation: Installation, number: int) -> set[int]:
    """Shards that a worker runs, by its log since its last start or rebalance."""
    owned: set[int] = set()
    for line in installation.log(f"worker-{number}"):
        if line["event"] in {"rebalance", "worker_ready"}:
            owned = set()
        elif line["event"] == "shard_running":
            owned.add(line["shard"])
    return owned


def events(log: Log, event: str) -> Log:
    """Give the lines of a log about one event."""
    return [line for line in log if line.get("event") == event]


def time_s(line: dict[str, Any]) -> float:
    """Give when a line of a log was written."""
    return datetime.fromisoformat(line["time"]).timestamp()


def await_(condition: Callable[[], object], what: str, patience_s: float = 120.0) -> None:
    """Wait until a condition holds.

    Raises:
        TimedOut: It did not.
    """
    until_s = time.time() + patience_s
    while not condition():
        if time.time() > until_s:
            raise TimedOut("recovery", f"not in {patience_s:.0f} s: {what}")
        time.sleep(0.05)


def summed(rows: list[Figures], bars: Figures) -> dict[str, Any]:
    """Medians of several rounds; a bar below 0 is the least, others the most that is allowed."""
    found: dict[str, Any] = {key: spread(row[key] for row in rows) for key in rows[0]}
    missed = [
        key
        for key, bar in bars.items()
        if (found[key]["median"] > bar if bar >= 0 else found[key]["median"] < -bar)
    ]
    return {**found, "rounds": len(rows), "bars": bars, "missed": missed}


def tell(name: str, found: dict[str, Any]) -> None:
    """Print what was found."""
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
