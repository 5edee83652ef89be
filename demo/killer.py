"""Who is killed, and when."""

from __future__ import annotations

import random
import time

from demo.display import Display
from demo.fleet import Death, Fleet
from demo.verdict import PARTICIPANTS
from orchestrator.local_kafka import LocalKafka

WORKERS = ("worker-0", "worker-1")
BROKER = "broker"
LATEST_SHARE = 0.95
"""Of the bookings: a kill after the last end would show nothing."""


class Killer:
    """Ends processes as a power cut would, and has them started again."""

    def __init__(
        self, chance: random.Random, fleet: Fleet, kafka: LocalKafka | None, *, anyone: bool
    ) -> None:
        """`anyone`: participants and, if it is ours, the broker too; else workers only."""
        self._chance = chance
        self._fleet = fleet
        self._kafka = kafka
        self._roles = WORKERS
        if anyone:
            self._roles = (*WORKERS, *PARTICIPANTS, *((BROKER,) if kafka else ()))

    def moments(self, kills: int, bookings: int) -> list[int]:
        """After how many ends to kill: once midway, or so often at any time."""
        if kills == 1:
            return [bookings // 2]
        latest = int(bookings * LATEST_SHARE)
        return sorted(self._chance.randrange(latest) for _ in range(kills))

    def kill(self, display: Display) -> Death:
        """Kill somebody."""
        name = self._chance.choice(self._roles)
        if name == BROKER and self._kafka is not None:
            death = Death(name, 0, time.time_ns() // 1_000_000)
            self._kafka.kill_node(1)
            self._fleet.deaths.append(death)
            display.tell("SIGKILL for the broker")
            self._kafka.start_node(1)
            display.tell("the broker is started again")
            return death
        death = self._fleet.kill(name)
        display.tell(f"SIGKILL for {name}, process {death.pid}")
        return death

    def restart_dead(self, display: Display) -> None:
        """Start again whoever is dead."""
        for name in self._fleet.restart_dead():
            display.tell(f"{name} is started again as process {self._fleet.pid(name)}")
