"""One saga in a world of unreliable participants, in virtual time, driven by one random source.

The core's functions are reached through their modules, so that a test may plant a bug in them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from random import Random

from core_checkers import (
    Facts,
    Log,
    Violation,
    check_order,
    check_sequence,
    check_terminal,
    require,
)
from core_definitions import Program, random_program

from orchestrator.core import decide as decide_module
from orchestrator.core import log as log_module
from orchestrator.core import react as react_module
from orchestrator.core.commands import (
    CancelSaga,
    Command,
    ReplyOutcome,
    ReplyReceived,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
    TimerFired,
)
from orchestrator.core.effects import Effect, PublishOutcome, SendCommand
from orchestrator.core.events import (
    CompensationRequested,
    Event,
    ReplyIgnored,
    SagaEnded,
    StepRequested,
    StepResolved,
)
from orchestrator.core.ids import parse_effect_id
from orchestrator.core.state import SAGA_TIMER, Consistency, Phase, SagaState, StepStatus, timers
from orchestrator.errors import StateError

SAGA = "saga-1"
ASKING = (StepRequested, CompensationRequested, SagaEnded)
"""The events that have an effect, one each."""
INPUTS_MAX = 3_000
PATIENCE_COUNT = 8
"""After so many sendings of one command an answer finally comes."""
OPERATOR_ROUNDS = 4
"""After so many interventions the operator has everything mended."""


@dataclass
class Participants:
    """What the participants have done; the truth that the log must agree with."""

    rng: Random
    sloppy: bool
    """Without a ledger: a repeated command may be answered otherwise than the first."""
    mended: bool = False
    answers: dict[tuple[str, str], ReplyOutcome] = field(default_factory=dict)
    done: set[tuple[str, str]] = field(default_factory=set)

    def execute(self, send: SendCommand, count: int, *, irreversible: bool) -> ReplyOutcome:
        """Run one delivered command: at most once done, never after its compensation."""
        operation = send.step_id, send.direction
        if operation in self.answers and (irreversible or not self.sloppy):
            return self.answers[operation]
        if send.direction == "do" and (send.step_id, "undo") in self.done:
            return ReplyOutcome.FAILED
        outcome = self._roll(send, patient=count >= PATIENCE_COUNT)
        if outcome is ReplyOutcome.SUCCEEDED:
            self.done.add(operation)
        if outcome is not ReplyOutcome.RETRY:
            self.answers[operation] = outcome
        return outcome

    def mend(self) -> None:
        """Have every compensation succeed from now on."""
        self.mended = True
        for (step, direction), outcome in tuple(self.answers.items()):
            if outcome is ReplyOutcome.FAILED and direction == "undo":
                del self.answers[step, direction]

    def _roll(self, send: SendCommand, *, patient: bool) -> ReplyOutcome:
        if self.mended or patient:
            return ReplyOutcome.SUCCEEDED
        succeed, fail = (0.75, 0.13) if send.direction == "do" else (0.75, 0.08)
        roll = self.rng.random()
        if roll < succeed:
            return ReplyOutcome.SUCCEEDED
        return ReplyOutcome.FAILED if roll < succeed + fail else ReplyOutcome.RETRY


class Simulation:
    """Runs one saga to its end, and checks every step of the way."""

    def __init__(self, program: Program, rng: Random) -> None:
        self.rng = rng
        self.program = program
        self.definition = program.definition
        self.participants = Participants(rng, sloppy=rng.random() < 0.3)
        self.lossy = rng.choice((0.0, 0.1, 0.4))
        self.slow = rng.choice((0.0, 0.2, 0.5))
        self.now_ms = rng.choice((0, 1_700_000_000_000))
        self.state: SagaState | None = None
        self.log: Log = []
        self.numbered: list[tuple[int, int]] = []
        self.sent: dict[str, SendCommand] = {}
        self.outcomes: list[PublishOutcome] = []
        self.queue: list[tuple[int, int, Command | SendCommand]] = []
        self.strange: set[Command] = set()
        self.inputs = 0
        self.rounds = 0

    # --- the loop -------------------------------------------------------------------------------

    def run(self) -> None:
        """Run to the end and beyond, then check the log."""
        start = StartSaga(SAGA, self.definition.name, 0, b"payload")
        self.feed(start)
        self._plan_trouble(start)
        while self.state is not None and not self.state.ended:
            self._advance()
        self._after_the_end()
        facts = check_order(self.definition, self.log)
        check_terminal(self.log)
        check_sequence(self.numbered)
        self._check_truth(facts)

    def _advance(self) -> None:
        state = self._living()
        armed = min(timers(state), default=None)
        waits = any(timer.step != SAGA_TIMER for timer in timers(state))
        if state.stuck and not self.queue and not waits and self.rng.random() < 0.9:
            self._operate()
        elif self.queue and (armed is None or self.queue[0][0] <= armed.due_ms):
            self._take(*heappop(self.queue))
        elif armed is not None:
            self.now_ms = max(self.now_ms, armed.due_ms)
            self.feed(TimerFired(SAGA, armed.step, armed.due_ms))
        else:
            require(state.stuck, f"termination: the saga hangs in {state}")
            self._operate()

    def _take(self, at_ms: int, _: int, item: Command | SendCommand) -> None:
        self.now_ms = max(self.now_ms, at_ms)
        if isinstance(item, SendCommand):
            self._deliver(item)
        else:
            self.feed(item)

    def feed(self, command: Command) -> None:
        """Give one input to the core, check what comes out, and hand its effects to the world."""
        self.inputs += 1
        require(self.inputs < INPUTS_MAX, "termination: the saga goes on for ever")
        before = self.state
        decision = decide_module.decide(self.definition, before, command, self.now_ms)
        quiet = isinstance(command, TimerFired)
        require(decision.events or decision.rejection or quiet, f"I8: no outcome of {command}")
        folded = log_module.fold(decision.events, before)
        require(folded == decision.state, f"I5: the fold of {command} is not its state")
        self.state = decision.state
        if decision.events:
            self._note(before, decision.events)
        if decision.state is not None:
            self.numbered.append((decision.state.sequence, len(decision.events)))
        if command in self.strange:
            kinds = [type(event) for event in decision.events]
            require(kinds == [ReplyIgnored], f"{command} was not ignored: {kinds}")
        effects = react_module.effects(self.definition, decision)
        asking = [event for event in decision.events if isinstance(event, ASKING)]
        require(len(effects) == len(asking), f"effects {effects} of {asking}")
        self._perform(effects)
        again = decide_module.decide(self.definition, before, command, self.now_ms)
        require(again == decision, f"decide is not deterministic for {command}")

    def _note(self, before: SagaState | None, events: tuple[Event, ...]) -> None:
        self.log.append(events)
        for event in events:
            if isinstance(event, StepResolved) and before is not None:
                # Operators tell the truth: what they say was done by hand was done.
                direction = "do" if before.phase is Phase.RUNNING else "undo"
                step = self.definition.steps[event.step].id
                self.participants.done.add((step, direction))

    def _living(self) -> SagaState:
        if self.state is None:
            raise Violation("the saga is gone")
        return self.state

    # --- the world ------------------------------------------------------------------------------

    def _at(self, delay_ms: int, item: Command | SendCommand) -> None:
        heappush(self.queue, (self.now_ms + delay_ms, self.rng.getrandbits(30), item))

    def _perform(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            if isinstance(effect, PublishOutcome):
                self.outcomes.append(effect)
                continue
            require(effect.effect_id not in self.sent, f"I2: {effect.effect_id} is sent twice")
            parts = parse_effect_id(effect.effect_id)
            named = (effect.saga_id, effect.step_id, effect.direction, effect.attempt)
            require(parts == named, f"effect id {effect.effect_id} is not of {named}")
            require(effect.due_ms > self.now_ms, f"{effect.effect_id} is due at once")
            self._check_payload(effect)
            self.sent[effect.effect_id] = effect
            if self.rng.random() >= self.lossy or self._patient(effect):
                self._at(self.rng.randint(0, 40), effect)

    def _check_payload(self, send: SendCommand) -> None:
        first = self.sent.get(f"{SAGA}/{send.step_id}/{send.direction}/1", send)
        require(first.payload == send.payload, f"{send.effect_id} differs from the first sending")
        place = self.definition.places[send.step_id]
        kind = f"{send.direction} {place}:"
        require(
            send.payload.startswith(kind.encode()), f"{send.effect_id} carries another command"
        )

    def _patient(self, send: SendCommand) -> bool:
        return self.participants.mended or send.attempt >= PATIENCE_COUNT

    def _deliver(self, send: SendCommand) -> None:
        step = self.definition.steps[self.definition.places[send.step_id]]
        outcome = self.participants.execute(send, send.attempt, irreversible=step.undo is None)
        payload = b"" if outcome is ReplyOutcome.RETRY else f"result {send.step_id}".encode()
        reply = ReplyReceived(
            SAGA,
            send.step_id,
            send.direction,
            send.attempt,
            outcome,
            payload,
            "",
            send.participant,
        )
        if self.rng.random() < self.lossy and not self._patient(send):
            return
        slow = self.rng.random() < self.slow and not self._patient(send)
        self._at(self.rng.randint(100, 900) if slow else self.rng.randint(0, 9), reply)
        if self.rng.random() < 0.15:
            self._at(self.rng.randint(0, 1_500), reply)
        if self.rng.random() < 0.1:
            self._at(self.rng.randint(0, 50), self._strange(reply))

    def _strange(self, reply: ReplyReceived) -> ReplyReceived:
        strange = self.rng.choice(
            (
                reply._replace(step_id="nobody"),
                reply._replace(participant="stranger"),
                reply._replace(attempt=reply.attempt + 1_000),
                reply._replace(attempt=0),
                reply._replace(direction="sideways"),
                reply._replace(direction="undo", attempt=1_000),
                reply._replace(outcome=self.rng.choice(tuple(ReplyOutcome)), attempt=1_000),
            )
        )
        self.strange.add(strange)
        return strange

    def _plan_trouble(self, start: StartSaga) -> None:
        if self.rng.random() < 0.3:
            self._at(self.rng.randint(0, 1_000), CancelSaga(SAGA, "ada", "changed her mind"))
        step = self.rng.choice(self.definition.steps).id
        strange: tuple[Command, ...] = (
            start,
            start._replace(payload=b"another"),
            CancelSaga(SAGA, "bob", ""),
            RetrySaga(SAGA, "bob", ""),
            SkipStep(SAGA, step, "bob", ""),
            SkipStep(SAGA, "nobody", "bob", ""),
            ResolveStep(SAGA, step, "bob", "", b""),
            TimerFired(SAGA, self.rng.randint(-2, 12), self.now_ms),
        )
        if self.rng.random() < 0.3:
            for _ in range(self.rng.randint(1, 3)):
                self._at(self.rng.randint(0, 600), self.rng.choice(strange[3:]))
        if self.rng.random() < 0.3:
            self._at(self.rng.randint(0, 600), self.rng.choice(strange[:2]))

    # --- the operator ---------------------------------------------------------------------------

    def _operate(self) -> None:
        """Do one of the three things that get a stuck saga out, until everything is mended."""
        self.rounds += 1
        mended = self.rounds > OPERATOR_ROUNDS
        if mended:
            self.program.broken.clear()
            self.participants.mend()
        state = self._living()
        stuck = [
            step.id
            for step in self.definition.steps
            if state.steps[step.index].status in (StepStatus.STUCK, StepStatus.UNDO_STUCK)
            or self.definition.step_nodes[step.index] in state.faults
        ]
        require(stuck or state.faults, f"nothing that a person could do: {state}")
        roll = self.rng.random()
        if not stuck or roll < 0.4:
            self.feed(RetrySaga(SAGA, "ada", "again"))
        elif roll < 0.7:
            self.feed(SkipStep(SAGA, self.rng.choice(stuck), "ada", "let it be"))
        else:
            step = self.rng.choice(stuck)
            self.feed(ResolveStep(SAGA, step, "ada", "by hand", b"result by hand"))

    # --- afterwards -----------------------------------------------------------------------------

    def _after_the_end(self) -> None:
        final = self._living()
        require(len(self.outcomes) == 1, "the outcome is published once")
        outcome = self.outcomes[0]
        require(outcome.sequence <= final.sequence, "the outcome is of another time")
        while self.queue:
            self._take(*heappop(self.queue))
            after = self._living()
            kept = final._replace(sequence=after.sequence)
            require(after == kept, "I6: something happened after the end")
        self.feed(RetrySaga(SAGA, "ada", ""))
        self.now_ms = max(self.now_ms, final.due_ms)
        self.feed(TimerFired(SAGA, SAGA_TIMER, final.due_ms))
        require(self.state is None, "the saga is not forgotten")
        self.feed(RetrySaga(SAGA, "ada", ""))

    def _check_truth(self, facts: Facts) -> None:
        """An outcome that is called consistent is consistent in truth."""
        ended = next(e for events in self.log for e in events if isinstance(e, SagaEnded))
        if ended.consistency != Consistency.CONSISTENT:
            return
        for step in self.definition.steps:
            fact = facts.steps[step.index]
            done = (step.id, "do") in self.participants.done
            undone = (step.id, "undo") in self.participants.done
            if ended.phase == Phase.COMPLETED or step.undo is None:
                require(done == (fact.forward == "done"), f"truth: {step.id} done is {done}")
            else:
                require(undone or not done, f"truth: {step.id} was done and never undone")


def simulate(rng: Random, program: Program | None = None) -> Simulation:
    """Run one random saga; everything about it follows from `rng`. Raises Violation."""
    simulation = Simulation(random_program(rng) if program is None else program, rng)
    try:
        simulation.run()
    except (StateError, Violation) as error:
        # Where the log itself is wrong, that says more than what came of it.
        check_order(simulation.definition, simulation.log)
        if isinstance(error, Violation):
            raise
        raise Violation(f"decide raised {error}") from error
    return simulation
