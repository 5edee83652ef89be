"""The verdict: every promise judged by what the topics, the ledgers and the stores hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchestrator.audit.reading import Log
from orchestrator.audit.stores import LocalStores
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.events import CompensationSucceeded
from orchestrator.core.state import Phase, SagaState
from orchestrator.kafka.admin import KafkaAdmin
from orchestrator.kafka.changelog import ChangelogReader
from orchestrator.participant.ledgers import read_ledger
from orchestrator.participant.transaction import Transaction
from orchestrator.testing import checkers
from orchestrator.testing.checkers import History, Violation
from orchestrator.testing.history import ledger_entries, read_history
from orchestrator.topics import Topics
from sagas.book_trip.contracts import Trip
from sagas.book_trip.inventory import WALLET_CENTS
from sagas.book_trip.saga import book_trip

if TYPE_CHECKING:
    from orchestrator.kafka.settings import KafkaSettings

PARTICIPANTS = ("airline", "cards", "hotels")
SHOWN_VIOLATIONS = 10


class Finding(NamedTuple):
    """One promise: what was judged, and what spoke against it."""

    invariant: str
    promise: str
    figures: str
    violations: tuple[Violation, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the judgement rests on."""

    history: History
    spent: tuple[int, ...]
    """Cents spent by each traveller, by the card company's tables."""
    income: int
    """Cents taken in all, by the same."""
    seats: int
    rooms: int
    """Held at the end, by the airline's and the hotels' tables."""
    prices: dict[str, int]
    """Cents by saga."""


def gather(kafka: KafkaSettings, folder: Path, acknowledged: set[str]) -> Evidence:
    """Read everything that the run has left. Workers and participants have stopped."""
    codec, payloads = RecordCodec(), AvroPayloads()
    log = Log(KafkaAdmin(kafka), ChangelogReader(kafka, "demo-verdict"), codec, Topics())
    history = read_history(
        log,
        codec,
        [book_trip.bind(payloads)],
        acknowledged=acknowledged,
        ledgers=ledger_entries(folder / "ledgers", PARTICIPANTS),
        stores=_stores(folder / "stores", codec, log.partitions_count, history_cursors(log)),
    )
    spent, income = _table(folder, "cards", "spent"), _table(folder, "cards", "income")
    return Evidence(
        history=history,
        spent=tuple(spent.values()),
        income=sum(income.values()),
        seats=sum(_table(folder, "airline", "seats").values()),
        rooms=sum(_table(folder, "hotels", "rooms").values()),
        prices=_prices(history, payloads),
    )


def history_cursors(log: Log) -> dict[int, int]:
    """The number of the last transaction of each shard, as its changelog says."""
    found = {}
    for shard in range(log.partitions_count):
        _, cursor = log.changelog(shard, log.span(log.topics.changelog, shard))
        found[shard] = 0 if cursor is None else cursor.transaction
    return found


def judge(evidence: Evidence) -> list[Finding]:
    """Judge every promise of the demo."""
    history = evidence.history
    states = [state for state in history.states().values() if isinstance(state, SagaState)]
    phases = Counter(state.phase for state in states)
    events = sum(len(transition.events) for _, transition in history.transitions)
    undone = Counter(
        sum(isinstance(event, CompensationSucceeded) for event in events)
        for events in history.events().values()
    )
    compensated = ", ".join(f"{undone[n]:,} of {n}" for n in sorted(undone) if n)
    applied = sum(entry.applied_count for entry in history.ledgers)
    return [
        _money(evidence),
        Finding(
            "I2",
            "each effect is applied exactly once",
            f"{len(history.ledgers):,} operations in the ledgers, {applied:,} applied",
            tuple(checkers.effects_applied_once(history)),
        ),
        Finding(
            "I3",
            "no accepted saga is lost or doubled, and each has ended",
            f"{len(history.acknowledged):,} acknowledged; "
            f"{phases[Phase.COMPLETED]:,} completed, {phases[Phase.ROLLED_BACK]:,} rolled back",
            (*checkers.no_saga_lost(history), *checkers.everything_ended(history)),
        ),
        Finding(
            "I4",
            "the right compensations in the right order",
            f"sagas that took back steps: {compensated or 'none'}",
            tuple(checkers.compensated_in_order(history)),
        ),
        Finding(
            "I5",
            "log, changelog and stores agree byte for byte",
            f"{len(history.snapshots):,} states in the changelog, "
            f"{len(history.stores or {}):,} in the stores",
            tuple(checkers.log_explains_state(history)),
        ),
        Finding(
            "I7",
            "each saga's events are numbered without gap or repeat",
            f"{events:,} events in {len(history.transitions):,} transitions",
            (*checkers.sequences_unbroken(history), *checkers.ended_is_final(history)),
        ),
        Finding(
            "I8",
            "each input has exactly one outcome, with all its effects",
            f"{len(history.inputs):,} inputs, {len(history.step_commands):,} step commands, "
            f"{len(history.dead_letters):,} dead letters",
            tuple(checkers.inputs_consumed_once(history)),
        ),
    ]


def _money(evidence: Evidence) -> Finding:
    states = evidence.history.states()
    completed = {
        saga
        for saga, state in states.items()
        if isinstance(state, SagaState) and state.phase is Phase.COMPLETED
    }
    due = sum(evidence.prices[saga] for saga in completed)
    wallets = [WALLET_CENTS - cents for cents in evidence.spent]
    total = WALLET_CENTS * len(wallets)
    violations = checkers.conserved(total, [*wallets, evidence.income])
    for what, count, wanted in (
        ("cents were taken", evidence.income, due),
        ("seats are held", evidence.seats, len(completed)),
        ("rooms are held", evidence.rooms, len(completed)),
    ):
        if count != wanted:
            violations.append(Violation("I1", "", f"{count} {what}, {wanted} are sold"))
    figures = f"{evidence.income / 100:,.2f} taken for {len(completed):,} trips, 0.00 astray"
    if violations:
        figures = f"{evidence.income / 100:,.2f} taken, {due / 100:,.2f} due"
    return Finding("I1", "money, seats and rooms are conserved", figures, tuple(violations))


def _stores(
    folder: Path, codec: RecordCodec, shards: int, newest: dict[int, int]
) -> dict[str, bytes]:
    """The states of every shard's newest store: a worker that lost a shard keeps an older one."""
    stores = LocalStores(folder, codec)
    found: dict[str, bytes] = {}
    for shard in range(shards):
        for copy in stores.copies(shard):
            if copy.cursor is not None and copy.cursor.transaction == newest[shard]:
                found.update((saga, held.value) for saga, held in copy.snapshots.items())
    return found


def _table(folder: Path, participant: str, table: str) -> dict[str, int]:
    ledger = read_ledger(folder / "ledgers", participant)
    try:
        handle = ledger.handle
        assert isinstance(handle, Transaction)  # noqa: S101 - these handlers take one
        return {key: int(value) for key, value in handle.rows(table)}
    finally:
        ledger.close()


def _prices(history: History, payloads: AvroPayloads) -> dict[str, int]:
    prices = {}
    for _, transition in history.transitions:
        if transition.sequence == 1:
            trip = payloads.decode(transition.events[0].payload, Trip)  # type: ignore[union-attr]
            prices[transition.saga] = trip.price_cents
    return prices
