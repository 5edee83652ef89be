"""What a worker counts: plain numbers in one object, read by logs now and by metrics later."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counters:
    """Totals since the process started."""

    inputs_count: int = 0
    """Records taken from commands and replies."""
    timers_count: int = 0
    """Timers fired."""
    transitions_count: int = 0
    """Records of `saga.events`."""
    events_count: int = 0
    """Events in them."""
    step_commands_count: int = 0
    """Step commands and compensations sent, repeated attempts included."""
    outcomes_count: int = 0
    """Sagas ended."""
    rerouted_count: int = 0
    """Commands passed on to their own shard."""
    postponed_count: int = 0
    """Timers that could not be fired and rest."""
    transactions_count: int = 0
    """Committed transactions."""
    transaction_failures: Counter[str] = field(default_factory=Counter)
    """Transactions that were not clean, by class of error."""
    rotations_count: int = 0
    """Producers replaced after a doubt."""
    fenced_count: int = 0
    """Dead predecessors shut out."""
    restored_count: int = 0
    """Changelog records applied while restoring."""
    discarded: Counter[str] = field(default_factory=Counter)
    """Local stores set aside, by reason."""
    halted: Counter[str] = field(default_factory=Counter)
    """Shards halted, by reason."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Dead letters, by reason."""
    disk_failures_count: int = 0
    """Times that the disk refused to read or write a local store."""
    disk_pauses_count: int = 0
    """Times that no work was taken since the disk was nearly full."""
    rebalances_count: int = 0
    """Assignments received."""

    def values(self) -> dict[str, object]:
        """Every number by name; those by reason as a dictionary; what is zero is left out."""
        found: dict[str, object] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if value:
                found[each.name] = dict(value) if isinstance(value, Counter) else value
        return found
