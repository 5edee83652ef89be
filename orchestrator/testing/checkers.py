"""The invariants as pure functions over what the topics and the ledgers hold.

Each checker takes a `History` and gives every violation it finds; none means that the invariant
held. They are what the demo, the tests and a fault campaign judge by. A checker that cannot fail is
worthless, so each has a test that plants a bug and sees it bite.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Cursor, DeadLetter, Outcome, StepCommand, Transition
from orchestrator.core.definition import Choose, Definition, Parallel, Sequence
from orchestrator.core.events import (
    CommandRefused,
    CompensationRequested,
    CompensationStarted,
    CompensationSucceeded,
    Event,
    ReplyIgnored,
    SagaEnded,
    SagaForgotten,
    SagaStarted,
    StepRequested,
    StepResolved,
    StepSkipped,
    StepSucceeded,
    StepUnknown,
    TimerIgnored,
)
from orchestrator.core.evolve import evolve
from orchestrator.core.state import Phase, SagaState
from orchestrator.errors import StateError


class Violation(NamedTuple):
    """One broken promise: which invariant, which saga (or empty), what was seen."""

    invariant: str
    saga: str
    text: str

    def __str__(self) -> str:
        return f"{self.invariant} {self.saga or '-'}: {self.text}"


class LedgerEntry(NamedTuple):
    """What a participant's ledger says of one operation (`saga/step/direction`)."""

    operation: str
    succeeded: bool
    applied_count: int
    """How often the effect was really applied: 0 or 1, if all is well."""


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything that a run left behind. All topics are read to their end, read_committed."""

    definitions: Mapping[tuple[str, int], Definition]
    transitions: tuple[tuple[Origin, Transition], ...]
    """In the order of each partition."""
    snapshots: Mapping[str, bytes]
    """The changelog, compacted: saga id to snapshot."""
    encode: Callable[[SagaState], bytes]
    step_commands: tuple[tuple[Origin, StepCommand], ...] = ()
    outcomes: tuple[tuple[Origin, Outcome], ...] = ()
    dead_letters: tuple[tuple[Origin, DeadLetter], ...] = ()
    cursors: Mapping[int, Cursor] = field(default_factory=dict)
    """The last cursor of each shard."""
    inputs: frozenset[Origin] = frozenset()
    """Every record of the input topics."""
    rerouted: Mapping[Origin, int] = field(default_factory=dict)
    """Inputs that were passed on to their own shard, and how often."""
    acknowledged: frozenset[str] = frozenset()
    """Saga ids whose start Kafka acknowledged to the client."""
    ledgers: tuple[LedgerEntry, ...] = ()
    stores: Mapping[str, bytes] | None = None
    """The union of the workers' local stores, if they were read."""

    def by_saga(self) -> dict[str, list[tuple[Origin, Transition]]]:
        """The transitions of each saga, in order."""
        found: dict[str, list[tuple[Origin, Transition]]] = defaultdict(list)
        for origin, transition in self.transitions:
            found[transition.saga].append((origin, transition))
        return found

    def events(self) -> dict[str, list[Event]]:
        """The events of each saga, in order."""
        return {
            saga: [event for _, transition in found for event in transition.events]
            for saga, found in self.by_saga().items()
        }

    def states(self) -> dict[str, SagaState | StateError | None]:
        """Each saga's events, folded. None: forgotten. An error: they cannot follow each other."""
        return {saga: _fold(events) for saga, events in self.events().items()}


def conserved(total_before: int, balances: Iterable[int], limit: int = 0) -> list[Violation]:
    """I1: the balances still add up to `total_before`, and none is below `limit`."""
    found = list(balances)
    problems = [
        Violation("I1", "", f"a balance is {balance}, below {limit}")
        for balance in found
        if balance < limit
    ]
    if sum(found) != total_before:
        problems.append(Violation("I1", "", f"the total is {sum(found)}, not {total_before}"))
    return problems


def effects_applied_once(history: History) -> list[Violation]:
    """I2: every effect is applied at most once, and exactly once if its step succeeded."""
    problems = []
    counts: Counter[str] = Counter()
    for entry in history.ledgers:
        counts[entry.operation] += entry.applied_count
    for operation, count in counts.items():
        if count > 1:
            problems.append(
                Violation("I2", _saga(operation), f"{operation} applied {count} times")
            )
    for saga, events in history.events().items():
        problems += _check_effects(saga, events, counts)
    return problems


def no_saga_lost(history: History) -> list[Violation]:
    """I3: each acknowledged start has exactly one saga, and no saga began twice."""
    problems = []
    begun: Counter[str] = Counter()
    open_now: set[str] = set()
    for _, transition in history.transitions:
        for event in transition.events:
            if isinstance(event, SagaStarted):
                if transition.saga in open_now:
                    problems.append(Violation("I3", transition.saga, "started twice"))
                open_now.add(transition.saga)
                begun[transition.saga] += 1
            elif isinstance(event, SagaForgotten):
                open_now.discard(transition.saga)
    refused = {letter.key.decode() for _, letter in history.dead_letters if letter.key}
    problems += [
        Violation("I3", saga, "acknowledged, but never started nor refused")
        for saga in sorted(history.acknowledged - begun.keys() - refused)
    ]
    return problems


def compensated_in_order(history: History) -> list[Violation]:
    """I4: the right compensations, in reverse order, none before a failure."""
    problems = []
    for saga, transitions in history.by_saga().items():
        events = [event for _, transition in transitions for event in transition.events]
        started = next((e for e in events if isinstance(e, SagaStarted)), None)
        if started is None:
            continue
        definition = history.definitions.get((started.definition, started.version))
        if definition is None:
            problems.append(Violation("I4", saga, f"unknown definition {started.definition}"))
            continue
        problems += check_compensations(saga, events, definition)
    return problems


def log_explains_state(history: History) -> list[Violation]:
    """I5: folding the events gives the changelog's snapshot, and the store's, byte for byte."""
    problems = []
    folded: dict[str, bytes] = {}
    for saga, state in history.states().items():
        if isinstance(state, StateError):
            problems.append(Violation("I5", saga, f"its events cannot be folded: {state}"))
        elif state is not None:
            folded[saga] = history.encode(state)
    problems += _same("changelog", folded, history.snapshots)
    if history.stores is not None:
        problems += _same("store", folded, history.stores)
    return problems


def ended_is_final(history: History) -> list[Violation]:
    """I6: after a saga has ended nothing but refusals follows, until it is forgotten."""
    harmless = (CommandRefused, ReplyIgnored, TimerIgnored)
    problems = []
    for saga, events in history.events().items():
        ended = False
        for event in events:
            if isinstance(event, SagaForgotten):
                ended = False
            elif ended and not isinstance(event, harmless):
                problems.append(Violation("I6", saga, f"{type(event).__name__} after its end"))
            elif isinstance(event, SagaEnded):
                ended = True
    return problems


def sequences_unbroken(history: History) -> list[Violation]:
    """I7: each saga's events are numbered 1, 2, 3, ... without gap or repeat, in one partition."""
    problems = []
    for saga, found in history.by_saga().items():
        expected = 1
        for origin, transition in found:
            if transition.sequence != expected:
                text = f"{origin}: sequence {transition.sequence}, expected {expected}"
                problems.append(Violation("I7", saga, text))
            forgotten = isinstance(transition.events[-1], SagaForgotten)
            expected = 1 if forgotten else transition.sequence + len(transition.events)
        if len({origin.partition for origin, _ in found}) > 1:
            problems.append(Violation("I7", saga, "its events lie in more than one partition"))
    return problems


def inputs_consumed_once(history: History) -> list[Violation]:
    """I8: each input below the cursor has exactly one outcome, with all its effects; none above."""
    outcomes: Counter[Origin] = Counter(history.rerouted)
    for _, transition in history.transitions:
        if transition.cause.origin.offset >= 0:
            outcomes[transition.cause.origin] += 1
    for _, letter in history.dead_letters:
        outcomes[letter.origin] += 1
    cursors = {shard: dict(cursor.inputs) for shard, cursor in history.cursors.items()}
    problems = []
    for origin in sorted(history.inputs):
        below = origin.offset < cursors.get(origin.partition, {}).get(origin.topic, 0)
        wanted = 1 if below else 0
        if outcomes[origin] != wanted:
            text = f"{origin} has {outcomes[origin]} outcomes, expected {wanted}"
            problems.append(Violation("I8", "", text))
    return problems + _check_effects_sent(history)


def everything_ended(history: History) -> list[Violation]:
    """I10: every saga has ended, or waits for a person."""
    return [
        Violation("I10", saga, f"still {state.phase.name.lower()} at sequence {state.sequence}")
        for saga, state in history.states().items()
        if isinstance(state, SagaState) and not state.ended and not state.stuck
    ]


def bad_input_accounted(history: History, bad: Mapping[Origin, str]) -> list[Violation]:
    """I12: each bad record (origin to expected reason) has one dead letter with that reason."""
    found: dict[Origin, list[str]] = defaultdict(list)
    for _, letter in history.dead_letters:
        found[letter.origin].append(letter.reason)
    return [
        Violation("I12", "", f"{origin}: dead letters {found[origin]}, expected [{reason!r}]")
        for origin, reason in bad.items()
        if found[origin] != [reason]
    ]


CHECKERS: tuple[tuple[str, Callable[[History], list[Violation]]], ...] = (
    ("I2", effects_applied_once),
    ("I3", no_saga_lost),
    ("I4", compensated_in_order),
    ("I5", log_explains_state),
    ("I6", ended_is_final),
    ("I7", sequences_unbroken),
    ("I8", inputs_consumed_once),
    ("I10", everything_ended),
)
"""Every invariant that a `History` alone can judge."""


def check_all(history: History) -> list[Violation]:
    """Run every checker."""
    return [violation for _, checker in CHECKERS for violation in checker(history)]


# --- I2 -----------------------------------------------------------------------------------------


def _saga(operation: str) -> str:
    return operation.split("/", 1)[0]


def _check_effects(saga: str, events: list[Event], applied: Counter[str]) -> list[Violation]:
    names = {e.step: e.step_id for e in events if isinstance(e, StepRequested)}
    by_hand = {e.step for e in events if isinstance(e, StepResolved | StepSkipped)}
    succeeded = {e.step for e in events if isinstance(e, StepSucceeded)}
    unknown = {e.step for e in events if isinstance(e, StepUnknown)}
    undone = {e.step for e in events if isinstance(e, CompensationSucceeded)}
    problems = []
    for step, name in names.items():
        if step in by_hand:
            continue
        did, took_back = applied[f"{saga}/{name}/do"], applied[f"{saga}/{name}/undo"]
        if step in succeeded and did != 1:
            problems.append(Violation("I2", saga, f"{name} succeeded, applied {did} times"))
        if step in undone and took_back != did:
            text = f"{name} applied {did} times, undone {took_back} times"
            problems.append(Violation("I2", saga, text))
        if step not in undone and took_back:
            problems.append(Violation("I2", saga, f"{name} was undone without being asked"))
        if step not in succeeded and step not in unknown and did and _ended(events):
            problems.append(Violation("I2", saga, f"{name} was applied, but did not succeed"))
    return problems


def _ended(events: list[Event]) -> bool:
    return any(isinstance(event, SagaEnded) for event in events)


# --- I4 -----------------------------------------------------------------------------------------


def check_compensations(saga: str, events: list[Event], definition: Definition) -> list[Violation]:
    """I4 for one saga's events under its definition."""
    problems = _no_forward_after_turn(saga, events)
    requested: dict[int, int] = {}
    undone: dict[int, int] = {}
    settled = {e.step for e in events if isinstance(e, StepResolved | StepSkipped)}
    happened = {e.step for e in events if isinstance(e, StepSucceeded | StepUnknown)}
    for at, event in enumerate(events):
        if isinstance(event, CompensationRequested):
            requested.setdefault(event.step, at)
        elif isinstance(event, CompensationSucceeded):
            undone[event.step] = at
    for step in sorted(requested.keys() - happened - settled):
        name = definition.steps[step].id
        problems.append(Violation("I4", saga, f"{name} is undone, but never happened"))
    problems += _reverse_order(saga, definition, requested, undone)
    end = next((e for e in events if isinstance(e, SagaEnded)), None)
    if end is not None:
        problems += _all_undone(saga, definition, end, happened - settled, undone)
    return problems


def _no_forward_after_turn(saga: str, events: list[Event]) -> list[Violation]:
    turned = False
    problems = []
    for event in events:
        if isinstance(event, CompensationStarted):
            turned = True
        elif turned and isinstance(event, StepRequested):
            text = f"{event.step_id} requested after the saga turned back"
            problems.append(Violation("I4", saga, text))
        elif not turned and isinstance(event, CompensationRequested):
            text = f"{event.step_id} compensated before the saga turned back"
            problems.append(Violation("I4", saga, text))
    return problems


def _reverse_order(
    saga: str, definition: Definition, requested: Mapping[int, int], undone: Mapping[int, int]
) -> list[Violation]:
    never = 1 << 62
    return [
        Violation(
            "I4",
            saga,
            f"{definition.steps[first].id} is undone before {definition.steps[second].id}, "
            "which came after it",
        )
        for first, at in requested.items()
        for second in requested
        if precedes(definition, first, second) and undone.get(second, never) > at
    ]


def _all_undone(
    saga: str,
    definition: Definition,
    end: SagaEnded,
    happened: set[int],
    undone: Mapping[int, int],
) -> list[Violation]:
    if end.phase == Phase.COMPLETED:
        return [
            Violation("I4", saga, f"completed, yet {definition.steps[step].id} was undone")
            for step in undone
        ]
    return [
        Violation("I4", saga, f"rolled back, yet {definition.steps[step].id} was never undone")
        for step in sorted(happened - undone.keys())
        if definition.steps[step].undo is not None
    ]


def precedes(definition: Definition, first: int, second: int) -> bool:
    """Say whether the plan puts step `first` before step `second`: neither beside nor instead."""
    above_first, above_second = _path(definition, first), _path(definition, second)
    meeting = next(
        (pair for pair in zip(above_first, above_second, strict=False) if pair[0] != pair[1]), None
    )
    if meeting is None:
        return False
    (parent, child_first), (_, child_second) = meeting
    node = definition.nodes[parent]
    assert isinstance(node, Sequence | Parallel | Choose)  # noqa: S101 - a leaf has no children
    return isinstance(node, Sequence) and child_first < child_second


def _path(definition: Definition, step: int) -> list[tuple[int, int]]:
    """From the root down: (node, which of its children leads to the step)."""
    path = []
    number = definition.step_nodes[step]
    while number > 0:
        position = definition.positions[number]
        path.append((position.parent, position.child))
        number = position.parent
    return path[::-1]


# --- I5, I8 -------------------------------------------------------------------------------------


def _fold(events: list[Event]) -> SagaState | StateError | None:
    state: SagaState | None = None
    try:
        for event in events:
            state = evolve(state, event)
    except StateError as error:
        return error
    return state


def _same(what: str, folded: Mapping[str, bytes], held: Mapping[str, bytes]) -> list[Violation]:
    problems = [
        Violation("I5", saga, f"in the {what}, but not in the log")
        for saga in sorted(held.keys() - folded.keys())
    ]
    for saga, wanted in folded.items():
        if saga not in held:
            problems.append(Violation("I5", saga, f"in the log, but not in the {what}"))
        elif held[saga] != wanted:
            problems.append(Violation("I5", saga, f"the {what} differs from the folded log"))
    return problems


def _check_effects_sent(history: History) -> list[Violation]:
    sent: Counter[str] = Counter(command.effect for _, command in history.step_commands)
    ended: Counter[str] = Counter(outcome.saga for _, outcome in history.outcomes)
    problems = []
    wanted: set[str] = set()
    for _, transition in history.transitions:
        effects = [effect for e in transition.events if (effect := _effect(transition.saga, e))]
        endings = sum(isinstance(event, SagaEnded) for event in transition.events)
        if transition.effects_count != len(effects) + endings:
            text = f"says {transition.effects_count} effects, its events {len(effects) + endings}"
            problems.append(Violation("I8", transition.saga, text))
        wanted.update(effects)
        problems += [
            Violation("I8", transition.saga, f"{effect} sent {sent[effect]} times")
            for effect in effects
            if sent[effect] != 1
        ]
        if endings and ended[transition.saga] < 1:
            problems.append(Violation("I8", transition.saga, "ended without an outcome record"))
    problems += [
        Violation("I8", _saga(effect), f"{effect} was sent, but no event asked for it")
        for effect in sorted(sent.keys() - wanted)
    ]
    return problems


def _effect(saga: str, event: Event) -> str:
    if isinstance(event, StepRequested):
        return f"{saga}/{event.step_id}/do/{event.attempt}"
    if isinstance(event, CompensationRequested):
        return f"{saga}/{event.step_id}/undo/{event.attempt}"
    return ""
