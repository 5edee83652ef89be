"""What must hold of any saga's log, checked without the core's own code.

Each checker takes a definition and the log as a list of transitions (tuples of events), and raises
Violation. None of them looks at a state.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.core import events as ev
from orchestrator.core.definition import Choose, Definition, Node, Sequence, Step
from orchestrator.core.state import Consistency, Phase

Log = list[tuple[ev.Event, ...]]


class Violation(AssertionError):
    """A promise is broken."""


def require(holds: object, promise: str) -> None:
    """Raise Violation unless `holds`."""
    if not holds:
        raise Violation(promise)


# --- I6 and I7 ----------------------------------------------------------------------------------

_AFTER_THE_END = (ev.CommandRefused, ev.ReplyIgnored, ev.TimerIgnored, ev.SagaForgotten)


def check_terminal(log: Log) -> None:
    """I6: a saga ends once, and nothing happens to it afterwards but refusals and forgetting."""
    ended = False
    for event in _flat(log):
        require(not ended or isinstance(event, _AFTER_THE_END), f"I6: {event} after the end")
        ended = ended or isinstance(event, ev.SagaEnded)


def check_sequence(numbered: Iterable[tuple[int, int]]) -> None:
    """I7: (last sequence, events count) of each transition leave no gap and repeat nothing."""
    expected = 0
    for last, count in numbered:
        expected += count
        require(last == expected, f"I7: sequence {last} where {expected} was expected")


def _flat(log: Log) -> Iterable[ev.Event]:
    return (event for transition in log for event in transition)


# --- I4 -----------------------------------------------------------------------------------------


@dataclass
class Fact:
    """What the log has told about one step."""

    forward: str = ""
    """`open`, `done`, `failed`, `unknown`, `stuck`, `skipped`."""
    back: str = ""
    """`open`, `undone`, `stuck`, `skipped`, `faulted` (its command is to be made again)."""
    made: bool = False
    """Whether the compensation's command could be made."""
    ever_stuck: bool = False
    sent: int = 0
    sent_before: int = 0
    failing: bool = False
    """Whether an attempt in the present direction has failed."""


@dataclass
class Facts:
    """What the log has told so far, and the order that the definition demands."""

    definition: Definition
    steps: dict[int, Fact] = field(default_factory=dict)
    choices: dict[int, int] = field(default_factory=dict)
    faults: set[int] = field(default_factory=set)
    cause: str = ""
    ended: bool = False
    lost: bool = False
    waiting: set[int] = field(default_factory=set)
    """Forward steps whose next attempt is scheduled."""

    def __post_init__(self) -> None:
        self.steps = {step.index: Fact() for step in self.definition.steps}
        self.before, self.guards = _orders(self.definition)
        self.after: dict[int, list[int]] = {number: [] for number in self.before}
        for number, earlier in self.before.items():
            for other in earlier:
                self.after[other].append(number)

    def step(self, number: int) -> Fact | None:
        node = self.definition.nodes[number]
        return self.steps[node.index] if isinstance(node, Step) else None

    def on_path(self, number: int) -> bool | None:
        """Say whether the choices lead to this node; None: not decided yet."""
        found: bool | None = True
        for decision, choice in self.guards[number]:
            taken = self.choices.get(decision)
            if taken is None:
                found = None
            elif taken != choice:
                return False
        return found

    def over(self, number: int) -> bool:
        """Say whether a step or a choice is complete, or will never be reached."""
        if self.on_path(number) is False:
            return True
        node, fact = self.definition.nodes[number], self.step(number)
        if fact is not None:
            return fact.forward in ("done", "skipped")
        return isinstance(node, Choose) and node.decision in self.choices

    def due(self, number: int) -> bool:
        """Say whether nothing stands before this step or choice any more."""
        ready = self.on_path(number) is True
        return ready and all(self.over(other) for other in self.before[number])

    def needs_undo(self, number: int) -> bool:
        node, fact = self.definition.nodes[number], self.step(number)
        if fact is None or not isinstance(node, Step):
            return False
        return node.undo is not None and fact.forward in ("done", "unknown")

    def settled(self, number: int) -> bool:
        """Say whether this step holds up no earlier one's compensation."""
        fact = self.step(number)
        if fact is None:
            return True
        if fact.forward in ("open", "stuck"):
            return False
        return not self.needs_undo(number) or fact.ever_stuck or fact.back in ("undone", "skipped")

    def holds_up(self, number: int) -> bool:
        """Say whether an earlier step's compensation waits for this one, rightly.

        A stuck compensation holds up nobody; one that is tried again may or may not.
        """
        fact = self.step(number)
        return not self.settled(number) or (fact is not None and fact.back == "open")


def check_order(definition: Definition, log: Log) -> Facts:
    """I4, and its forward mirror: right set, right order, as parallel as possible.

    Nothing forward after the saga turned back, only what happened or may have is compensated,
    latest first, each once, and no more attempts than the policy allows.
    """
    facts = Facts(definition)
    for transition in log:
        for event in transition:
            _CHECKS.get(type(event), _nothing)(facts, event)
        if not facts.ended:
            _check_progress(facts)
    return facts


def _nothing(_: Facts, __: ev.Event) -> None:
    pass


def _chosen(facts: Facts, event: ev.BranchChosen) -> None:
    require(not facts.cause, f"I4: {event} after the saga turned back")
    require(event.decision not in facts.choices, f"I4: {event} for the second time")
    facts.choices[event.decision] = event.choice


def _requested(facts: Facts, event: ev.StepRequested) -> None:
    require(not facts.cause, f"I4: {event} after the saga turned back")
    fact, number = facts.steps[event.step], facts.definition.step_nodes[event.step]
    require(facts.due(number), f"I4: {event} before what comes first is over")
    require(fact.forward in ("", "open"), f"I4: {event} of a step that is {fact.forward}")
    policy = facts.definition.steps[event.step].retry
    _check_attempt(fact, event.attempt, policy.attempts_max)
    fact.forward, fact.sent = "open", event.attempt
    facts.waiting.discard(event.step)


def _undo_requested(facts: Facts, event: ev.CompensationRequested) -> None:
    require(facts.cause, f"I4: {event} though the saga did not turn back")
    fact, number = facts.steps[event.step], facts.definition.step_nodes[event.step]
    fact.failing = fact.failing and event.attempt > 1
    step = facts.definition.steps[event.step]
    require(facts.needs_undo(number), f"I4: {event} of a step that cannot have happened")
    for later in facts.after[number]:
        require(facts.settled(later), f"I4: {event} before the undo of node {later}")
    if event.attempt == 1:
        require(fact.back in ("", "faulted"), f"I4: {event} again from the start")
        fact.sent = fact.sent_before = 0
    require(fact.back != "stuck", f"I4: {event} of a stuck compensation, unordered")
    _check_attempt(fact, event.attempt, step.undo.retry.attempts_max if step.undo else 0)
    fact.back, fact.sent = "open", event.attempt


def _check_attempt(fact: Fact, attempt: int, attempts_max: int | None) -> None:
    require(attempt == fact.sent + 1, f"I4: attempt {attempt} after {fact.sent}")
    if attempts_max is not None:
        require(attempt - fact.sent_before <= attempts_max, f"I4: attempt {attempt} is too many")


def _outcome(name: str):
    def apply(facts: Facts, event) -> None:
        fact = facts.steps[event.step]
        require(fact.forward in ("open", "stuck"), f"I4: {event} of a step {fact.forward!r}")
        require(1 <= event.attempt <= fact.sent, f"I4: {event} of an attempt that was not made")
        fact.forward = name
        facts.waiting.discard(event.step)

    return apply


def _unknown(facts: Facts, event: ev.StepUnknown) -> None:
    _outcome("unknown")(facts, event)
    irreversible = facts.definition.steps[event.step].undo is None
    require(event.lost == irreversible, f"I4: {event}, but irreversible is {irreversible}")
    facts.lost = facts.lost or event.lost


def _step_stuck(facts: Facts, event: ev.StepStuck) -> None:
    step = facts.definition.steps[event.step]
    way_back = not step.after_pivot and not (step.pivot and step.undo is None)
    require(not way_back, f"I4: {event}, but there is a way back")
    _outcome("stuck")(facts, event)


def _attempt_failed(facts: Facts, event: ev.AttemptFailed) -> None:
    fact = facts.steps[event.step]
    fact.failing = True
    if not fact.back:
        require(not facts.cause, f"I4: {event} promises an attempt after the saga turned back")
        facts.waiting.add(event.step)


def _turned_back(facts: Facts, event: ev.CompensationStarted) -> None:
    require(not facts.cause, f"I4: {event} for the second time")
    pivot = facts.definition.pivot
    if pivot is not None:
        fact = facts.steps[pivot.index]
        passed = fact.forward in ("done", "stuck") or (
            fact.forward == "open" and event.cause in ("cancelled", "deadline")
        )
        require(not passed, f"I4: {event} past the pivot")
    facts.cause = event.cause
    facts.faults.clear()


def _undone(facts: Facts, event: ev.CompensationSucceeded) -> None:
    fact = facts.steps[event.step]
    require(fact.back in ("open", "stuck"), f"I4: {event} of a compensation {fact.back!r}")
    require(1 <= event.attempt <= fact.sent, f"I4: {event} of an attempt that was not made")
    fact.back = "undone"


def _undo_stuck(facts: Facts, event: ev.CompensationStuck) -> None:
    fact = facts.steps[event.step]
    require(facts.needs_undo(facts.definition.step_nodes[event.step]), f"I4: {event} of nothing")
    fact.back, fact.ever_stuck, fact.made = "stuck", True, event.attempt > 0


def _faulted(facts: Facts, event: ev.NodeFaulted) -> None:
    facts.faults.add(event.node)


def _retried(facts: Facts, _: ev.RetryOrdered) -> None:
    facts.faults.clear()
    for fact in facts.steps.values():
        if fact.back == "stuck":
            fact.back, fact.sent_before = "open" if fact.made else "faulted", fact.sent
        elif fact.forward == "stuck":
            fact.forward, fact.sent_before = "open", fact.sent


def _skipped(facts: Facts, event: ev.StepSkipped) -> None:
    _by_hand(facts, event.step, "skipped", "skipped")
    facts.lost = True


def _resolved(facts: Facts, event: ev.StepResolved) -> None:
    _by_hand(facts, event.step, "done", "undone")


def _by_hand(facts: Facts, place: int, forward: str, back: str) -> None:
    fact, step = facts.steps[place], facts.definition.steps[place]
    if facts.cause:
        allowed = fact.back == "stuck" or (fact.back == "open" and fact.failing)
        require(allowed, f"I4: step {place} decided by hand, but it is not stuck")
        fact.back = back
        return
    faulted = facts.definition.step_nodes[place] in facts.faults
    no_way_back = step.after_pivot or (step.pivot and step.undo is None)
    failing = fact.forward == "open" and fact.failing and no_way_back
    allowed = faulted or failing or fact.forward == "stuck"
    require(allowed, f"I4: step {place} by hand, but not stuck")
    fact.forward = forward
    facts.waiting.discard(place)
    facts.faults.clear()


def _ended(facts: Facts, event: ev.SagaEnded) -> None:
    facts.ended = True
    if event.phase == Phase.COMPLETED:
        require(all(map(facts.over, facts.before)), f"I4: {event}, but steps are left")
        require(not facts.cause, f"I4: {event}, but the saga turned back")
    else:
        for number in facts.before:
            fact = facts.step(number)
            stuck = fact is not None and fact.back in ("stuck", "open", "faulted")
            require(facts.settled(number) and not stuck, f"I4: {event}, but node {number} is left")
        cancelled = event.phase == Phase.CANCELLED
        require(cancelled == (facts.cause == "cancelled"), f"I4: {event} for {facts.cause}")
    unknown = event.consistency == Consistency.UNKNOWN
    require(unknown == facts.lost, f"I4: {event}, but lost is {facts.lost}")


def _check_progress(facts: Facts) -> None:
    """Whatever can go on, in either direction, must have gone on by the end of its transition."""
    if facts.cause:
        require(not facts.waiting, f"I4: steps {facts.waiting} wait for an attempt for ever")
        for number in facts.before:
            fact = facts.step(number)
            if fact is not None and facts.needs_undo(number) and not fact.back:
                held_up = any(map(facts.holds_up, facts.after[number]))
                require(held_up, f"I4: the undo of node {number} is forgotten")
        return
    for number in facts.before:
        begun = facts.over(number) or number in facts.faults or _is_begun(facts, number)
        require(begun or not facts.due(number), f"I4: node {number} is forgotten")
    require(facts.faults or not all(map(facts.over, facts.before)), "I4: the end is forgotten")


def _is_begun(facts: Facts, number: int) -> bool:
    fact = facts.step(number)
    return fact is not None and fact.forward != ""


_CHECKS = {
    ev.BranchChosen: _chosen,
    ev.StepRequested: _requested,
    ev.StepSucceeded: _outcome("done"),
    ev.StepFailed: _outcome("failed"),
    ev.AttemptFailed: _attempt_failed,
    ev.StepUnknown: _unknown,
    ev.StepStuck: _step_stuck,
    ev.CompensationStarted: _turned_back,
    ev.CompensationRequested: _undo_requested,
    ev.CompensationSucceeded: _undone,
    ev.CompensationStuck: _undo_stuck,
    ev.NodeFaulted: _faulted,
    ev.RetryOrdered: _retried,
    ev.StepSkipped: _skipped,
    ev.StepResolved: _resolved,
    ev.SagaEnded: _ended,
}


# --- the order that a tree demands --------------------------------------------------------------


def _orders(
    definition: Definition,
) -> tuple[dict[int, set[int]], dict[int, list[tuple[int, int]]]]:
    """For each step and choice: what must be over before it, and which choices lead to it."""
    before: dict[int, set[int]] = {}
    guards: dict[int, list[tuple[int, int]]] = {}
    numbers = iter(range(len(definition.nodes)))

    def visit(node: Node, earlier: set[int], guarded: list[tuple[int, int]]) -> set[int]:
        number = next(numbers)
        if isinstance(node, Step):
            before[number], guards[number] = set(earlier), guarded
            return {number}
        if isinstance(node, Choose):
            before[number], guards[number] = set(earlier), guarded
            below = {number}
            for choice, branch in enumerate((node.then, node.otherwise), 1):
                if branch is not None:
                    way = [*guarded, (node.decision, choice)]
                    below |= visit(branch, {*earlier, number}, way)
            return below
        below = set()
        for child in node.children:
            first = earlier | below if isinstance(node, Sequence) else earlier
            below |= visit(child, first, guarded)
        return below

    visit(definition.root, set(), [])
    return before, guards
