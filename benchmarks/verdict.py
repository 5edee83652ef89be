"""Whether a run did what it should: no effect twice, none missing, none too many, no wrong end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import workload
from benchmarks.trip import EFFECTS, NAMES, participant_name
from orchestrator.errors import OrchestratorError
from orchestrator.participant.ledger import Ledger
from orchestrator.participant.ledgers import read_ledger
from orchestrator.participant.transaction import Transaction


class WrongEffects(OrchestratorError):
    """A run duplicated, lost or invented an effect, or ended a saga wrongly: its figures are void."""

    operator_action = "This is a fault of the engine. Keep the folder of the run and look there."


@dataclass
class Effects:
    """What the participants did, held against what they should have done."""

    executed: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    unexpected: Counter[str] = field(default_factory=Counter)

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.duplicates or self.missing or self.unexpected)

    def figures(self) -> dict[str, Any]:
        """Give the fields of a result."""
        return {
            "executed": dict(self.executed),
            "duplicates": dict(self.duplicates),
            "missing": dict(self.missing),
            "unexpected": dict(self.unexpected),
            "duplicates_total": self.duplicates.total(),
            "missing_total": self.missing.total(),
            "unexpected_total": self.unexpected.total(),
        }


def compare(found: Mapping[str, int], wanted: Iterable[tuple[str, tuple[str, ...]]]) -> Effects:
    """Hold effects, counted by `saga/effect`, against those that each saga needs."""
    result, rest = Effects(), dict(found)
    for saga, names in wanted:
        for name in names:
            count = rest.pop(f"{saga}/{name}", 0)
            result.executed[name] += count
            if not count:
                result.missing[name] += 1
            elif count > 1:
                result.duplicates[name] += count - 1
    for key, count in rest.items():
        name = key.rpartition("/")[2]
        result.executed[name] += count
        result.unexpected[name] += count
    return result


def effects_done(ledgers: Path, run: str) -> Counter[str]:
    """Count the effects by `saga/effect`, as the participants' own tables and ledgers say.

    A handler's table counts what it did. An entry of the ledger that was applied more than once
    counts too: it would show a fault that the tables hide.
    """
    found: Counter[str] = Counter()
    for name in NAMES:
        ledger = read_ledger(ledgers, participant_name(run, name))
        try:
            found.update(_rows(ledger, EFFECTS))
            for entry in ledger.entries():
                if entry.applied_count > 1:
                    found[entry.operation] += entry.applied_count
        finally:
            ledger.close()
    return found


def rows_of(ledgers: Path, participant: str, table: str) -> dict[str, int]:
    """Read a table of numbers of one participant, by its full name."""
    ledger = read_ledger(ledgers, participant)
    try:
        return _rows(ledger, table)
    finally:
        ledger.close()


def _rows(ledger: Ledger, table: str) -> dict[str, int]:
    handle = ledger.handle
    assert isinstance(handle, Transaction)  # the handlers take one
    return {key: int(value) for key, value in handle.rows(table)}


def judge(ledgers: Path, run: str, batches: Iterable[tuple[str, int]]) -> Effects:
    """Judge a run of some batches of trips: (name, count)."""
    wanted = (
        (workload.saga_id(batch, number), workload.effects(number))
        for batch, count in batches
        for number in range(count)
    )
    return compare(effects_done(ledgers, run), wanted)
