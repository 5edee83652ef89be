"""How long the shards of a killed worker stood still."""

from __future__ import annotations

from collections.abc import Sequence

from demo.display import Display
from demo.fleet import Death
from orchestrator.codec.envelope import Envelope

SHARDS = {"worker-0": {0, 1}, "worker-1": {2, 3}}
"""Who owns which shard: assignment by range is a function of the workers' names."""


class Recovery:
    """Watches for the first end of a saga on the shards of whoever was killed."""

    def __init__(self) -> None:
        self._deaths: list[Death] = []

    def begin(self, death: Death) -> None:
        """Watch from here on."""
        self._deaths.append(death)

    def see(self, outcomes: Sequence[Envelope], display: Display) -> None:
        """Look at the outcomes that have come."""
        still = []
        for death in self._deaths:
            shards = SHARDS.get(death.role)
            ends_ms = [
                outcome.timestamp_ms
                for outcome in outcomes
                if outcome.timestamp_ms > death.at_ms
                and (shards is None or outcome.origin.partition in shards)
            ]
            if ends_ms:
                what = f"shards {sorted(shards)}" if shards else f"what {death.role} does"
                pause_s = (min(ends_ms) - death.at_ms) / 1_000
                display.tell(f"{what}: sagas end again, {pause_s:.2f} s after the kill")
            else:
                still.append(death)
        self._deaths = still
