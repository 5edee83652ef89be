"""The client: keeps so many sagas in flight until all have ended, and takes the time of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from orchestrator import Start
from orchestrator.client import Client
from orchestrator.codec.wire import RecordCodec
from orchestrator.errors import TimedOut
from orchestrator.kafka.follower import Follower
from orchestrator.kafka.settings import KafkaSettings
from orchestrator.topics import Topics

STALLED_S = 60.0
"""Without any end for so long, something is broken."""
POLL_S = 0.5
POLL_COUNT = 500


@dataclass
class Driven:
    """What the client saw of one batch."""

    began_s: float
    ended_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    ends_s: list[float] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    """How each saga ended, by id."""
    doubled: Counter[str] = field(default_factory=Counter)
    """Sagas with a second outcome."""

    @property
    def wall_s(self) -> float:
        """From the first start to the last end."""
        return self.ended_s - self.began_s


class Traffic:
    """One client of an installation: starts sagas, reads their outcomes."""

    def __init__(self, kafka: KafkaSettings, topics: Topics, partitions: int) -> None:
        """Connect; outcomes are read from now on."""
        self._client = Client(settings=kafka, prefix=topics.prefix)
        self._follower = Follower(kafka, [(topics.outcomes, partitions)], "bench-client")
        self._codec = RecordCodec()

    def close(self) -> None:
        """Release connections."""
        self._client.close()
        self._follower.close()

    def drive(self, starts: Iterable[tuple[str, Start[Any]]], in_flight: int) -> Driven:
        """Keep `in_flight` open until all have ended.

        Raises:
            TimedOut: Nothing has ended for a minute.
        """
        pending = iter(starts)
        open_: dict[str, float] = {}
        found = Driven(time.perf_counter())
        moved_s = found.began_s
        self._begin(islice(pending, in_flight), open_)
        while open_:
            outcomes = self._follower.poll(POLL_COUNT, POLL_S)
            now_s = time.perf_counter()
            ended_count = 0
            for outcome in [self._codec.decode_outcome(read.value or b"") for read in outcomes]:
                begun_s = open_.pop(outcome.saga, None)
                if begun_s is None:
                    found.doubled[outcome.saga] += 1
                    continue
                ended_count += 1
                found.latencies_s.append(now_s - begun_s)
                found.ends_s.append(now_s)
                found.outcomes[outcome.saga] = outcome.business
            if ended_count:
                moved_s = now_s
                self._begin(islice(pending, ended_count), open_)
            elif now_s - moved_s > STALLED_S:
                text = f"{len(open_)} sagas do not end; the first is {next(iter(open_))}"
                raise TimedOut("stalled", text)
        found.ended_s = time.perf_counter()
        return found

    def count_ends(self, count: int, quiet_s: float = 2.0) -> list[float]:
        """Give when sagas end that were begun before, until so many have, or none for a while."""
        ends_s: list[float] = []
        moved_s = time.perf_counter()
        while len(ends_s) < count and time.perf_counter() - moved_s < quiet_s:
            outcomes = self._follower.poll(POLL_COUNT, POLL_S)
            if outcomes:
                moved_s = time.perf_counter()
                ends_s.extend([moved_s] * len(outcomes))
        return ends_s

    def begin(self, starts: Iterable[tuple[str, Start[Any]]]) -> int:
        """Start sagas without waiting for their ends; returns when Kafka has all commands."""
        return self._client.start_many(starts)

    def _begin(self, starts: Iterable[tuple[str, Start[Any]]], open_: dict[str, float]) -> None:
        self._client.start_many(_stamped(starts, open_))


def _stamped(
    starts: Iterable[tuple[str, Start[Any]]], open_: dict[str, float]
) -> Iterator[tuple[str, Start[Any]]]:
    for saga_id, start in starts:
        open_[saga_id] = time.perf_counter()
        yield saga_id, start
