"""Given, when, then for sagas: the real core, in virtual time.

::

    (trial(book_trip.given(ADA))
        .sends(ReserveSeat("LH1", "Ada")).replies(SeatReserved("12A"))
        .sends(ChargeCard(90_000)).fails(Declined("limit"))
        .sends(CancelSeat("LH1", "Ada")).replies(Done())
        .rolls_back())

Payloads go through the real codec, so a type that cannot travel is found here too. Every decision is
taken twice and compared: a step function that reads a clock or draws a number is found out.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol

from typing_extensions import TypeVar

from orchestrator.codec.payloads import AvroPayloads
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
from orchestrator.core.decide import decide
from orchestrator.core.effects import Effect, SendCommand
from orchestrator.core.events import AttemptFailed, Event, NodeFaulted, SagaEnded
from orchestrator.core.ids import Direction
from orchestrator.core.react import react
from orchestrator.core.state import Phase, SagaState, Timer, timers
from orchestrator.definition.kinds import answers_of

if TYPE_CHECKING:
    from orchestrator.core.definition import Definition
    from orchestrator.definition import Start

C_co = TypeVar("C_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
F_co = TypeVar("F_co", covariant=True)
R = TypeVar("R")
F = TypeVar("F")

_SAGA = "trial"
_ACTOR = "tester"


class Answers(Protocol[C_co, R_co, F_co]):
    """A command that knows the types of its answers."""

    def answered(self) -> tuple[C_co, R_co, F_co]:
        """Give the command's own type, its result's and its failure's; only checkers look."""
        ...


class Pending(NamedTuple):
    """A command that has been sent and not been answered."""

    effect: SendCommand
    command: Any


class Expect(Generic[R, F]):
    """One command that the saga has sent. Answer it, or let its time run out.

    Keep it to answer later: an answer after `times_out` is a late one.
    """

    def __init__(self, trial: Trial, pending: Pending) -> None:
        self._trial = trial
        self._pending = pending

    def replies(self, result: R) -> Trial:
        """Answer with the result."""
        wanted, _ = answers_of(type(self._pending.command))
        self._require(result, (wanted,), "result")
        return self._answer(ReplyOutcome.SUCCEEDED, result, "")

    def fails(self, failure: F) -> Trial:
        """Answer with a declared business failure."""
        _, declared = answers_of(type(self._pending.command))
        self._require(failure, declared, "failure")
        return self._answer(ReplyOutcome.FAILED, failure, type(failure).__name__)

    def asks_to_retry(self, why: str = "") -> Trial:
        """Answer that it did not work out and should be sent again."""
        return self._answer(ReplyOutcome.RETRY, None, why)

    def times_out(self) -> Trial:
        """Give no answer: this attempt's time runs out."""
        self._trial._expire(self._pending.effect)  # noqa: SLF001 - two halves of one fluent API
        return self._trial

    def never_answers(self) -> Trial:
        """Give no answer to this attempt nor to any further one of the same command."""
        self._trial._exhaust(self._pending)  # noqa: SLF001 - as above
        return self._trial

    def _require(self, answer: object, kinds: tuple[Any, ...], what: str) -> None:
        # Type checkers say the same; not everybody runs one over the tests.
        if type(answer) not in kinds:
            allowed = " | ".join(kind.__name__ for kind in kinds) or "none"
            name = type(self._pending.command).__name__
            raise AssertionError(f"{answer!r} is no {what} of {name}; declared: {allowed}")

    def _answer(self, outcome: ReplyOutcome, payload: object, text: str) -> Trial:
        self._trial._reply(self._pending, outcome, payload, text)  # noqa: SLF001 - as above
        return self._trial


class Trial:
    """One saga in virtual time. Every method checks, and raises AssertionError with what it saw."""

    def __init__(
        self,
        definition: Definition,
        commands: tuple[type[Any], ...],
        start: StartSaga,
        payloads: AvroPayloads,
    ) -> None:
        self._definition = definition
        self._commands = {kind.__name__: kind for kind in commands}
        self._payloads = payloads
        self._now_ms = 1_000_000
        self._state: SagaState | None = None
        self._events: list[Event] = []
        self._pending: list[Pending] = []
        self._run(start)

    # --- what the saga does -------------------------------------------------------------------

    def sends(self, command: Answers[Any, R, F]) -> Expect[R, F]:
        """Expect this command among those sent and not yet answered; time passes if it must."""
        self._until_something_is_sent()
        for pending in self._pending:
            if pending.command == command:
                return Expect(self, pending)
        raise AssertionError(f"expected {command!r} to be sent\n{self._seen()}")

    def sends_nothing(self) -> Trial:
        """Expect that no command waits for an answer."""
        if self._pending:
            raise AssertionError(f"expected no command\n{self._seen()}")
        return self

    # --- what happens to it -------------------------------------------------------------------

    def after(self, pause: timedelta) -> Trial:
        """Let time pass; every timer that comes due fires, in order."""
        self._pass(self._now_ms + int(pause.total_seconds() * 1000))
        return self

    def cancel(self, reason: str = "") -> Trial:
        """Ask for the saga to be turned back."""
        self._run(CancelSaga(_SAGA, _ACTOR, reason))
        return self

    def retry(self, reason: str = "") -> Trial:
        """Try everything that is stuck once more."""
        self._run(RetrySaga(_SAGA, _ACTOR, reason))
        return self

    def skip(self, step_id: str, reason: str) -> Trial:
        """Give up on a stuck step or compensation."""
        self._run(SkipStep(_SAGA, step_id, _ACTOR, reason))
        return self

    def resolve(self, step_id: str, reason: str, result: object = None) -> Trial:
        """Say that a stuck step or compensation has been done by hand."""
        encoded = b"" if result is None else self._payloads.encode(result, type(result))
        self._run(ResolveStep(_SAGA, step_id, _ACTOR, reason, encoded))
        return self

    # --- how it ends --------------------------------------------------------------------------

    def completes(self, result: object = None) -> None:
        """Expect that the saga has completed; with `result`, that this is its outcome."""
        ended = self._expect_end(Phase.COMPLETED)
        if result is not None:
            wanted = self._payloads.encode(result, type(result))
            if ended.result != wanted:
                raise AssertionError(f"the outcome is not {result!r}\n{self._seen()}")

    def rolls_back(self) -> None:
        """Expect that everything has been undone after a failure."""
        self._expect_end(Phase.ROLLED_BACK)

    def is_cancelled(self) -> None:
        """Expect that everything has been undone because somebody asked."""
        self._expect_end(Phase.CANCELLED)

    def is_stuck(self) -> Trial:
        """Expect that the saga waits for a person."""
        if not self.state.stuck:
            raise AssertionError(f"expected the saga to be stuck\n{self._seen()}")
        return self

    # --- what can be read ---------------------------------------------------------------------

    @property
    def state(self) -> SagaState:
        """The saga's present state."""
        if self._state is None:
            raise AssertionError(f"there is no saga\n{self._seen()}")
        return self._state

    @property
    def events(self) -> tuple[Event, ...]:
        """Every event so far, in order."""
        return tuple(self._events)

    # --- inside -------------------------------------------------------------------------------

    def _run(self, command: Command) -> None:
        decision = decide(self._definition, self._state, command, self._now_ms)
        again = decide(self._definition, self._state, command, self._now_ms)
        if decision != again:
            raise AssertionError(f"a function of the saga is not pure: {decision} then {again}")
        if decision.rejection is not None:
            raise AssertionError(f"rejected: {decision.rejection}\n{self._seen()}")
        self._state = decision.state
        self._events.extend(decision.events)
        if decision.state is not None:
            for event in decision.events:
                for effect in react(self._definition, decision.state, event):
                    self._take(effect)

    def _take(self, effect: Effect) -> None:
        if isinstance(effect, SendCommand):
            kind = self._commands[effect.command_type]
            self._pending.append(Pending(effect, self._payloads.decode(effect.payload, kind)))

    def _reply(self, pending: Pending, outcome: ReplyOutcome, payload: object, text: str) -> None:
        if pending in self._pending:  # else the answer is late
            self._pending.remove(pending)
        effect = pending.effect
        data = b"" if payload is None else self._payloads.encode(payload, type(payload))
        self._run(
            ReplyReceived(
                _SAGA,
                effect.step_id,
                effect.direction,
                effect.attempt,
                outcome,
                data,
                text,
                effect.participant,
            )
        )

    def _expire(self, effect: SendCommand) -> None:
        self._pass(max(self._now_ms, effect.due_ms))

    def _exhaust(self, pending: Pending) -> None:
        step = self._definition.steps[self._definition.places[pending.effect.step_id]]
        undo = step.undo if pending.effect.direction == Direction.UNDO else None
        if (undo.retry if undo else step.retry).attempts_max is None:
            raise AssertionError(f"{step.id} is retried for ever: it has no last attempt")
        while pending is not None:
            self._expire(pending.effect)
            if not (self._events and isinstance(self._events[-1], AttemptFailed)):
                return
            self._until_something_is_sent()
            same = [p for p in self._pending if p.command == pending.command]
            if not same:
                return
            pending = same[0]

    def _pass(self, until_ms: int) -> None:
        while (timer := self._next_timer()) is not None and timer.due_ms <= until_ms:
            self._fire(timer)
        self._now_ms = max(self._now_ms, until_ms)

    def _fire(self, timer: Timer) -> None:
        self._now_ms = max(self._now_ms, timer.due_ms)
        self._pending = [
            p for p in self._pending if self._definition.places[p.effect.step_id] != timer.step
        ]
        self._run(TimerFired(_SAGA, timer.step, timer.due_ms))

    def _next_timer(self) -> Timer | None:
        if self._state is None or self._state.ended:
            return None
        return min(timers(self._state), default=None)

    def _until_something_is_sent(self) -> None:
        while not self._pending and (timer := self._next_timer()) is not None:
            if (
                timer.step < 0
            ):  # the deadline is no way to get a command sent: ask for it by after()
                return
            self._fire(timer)

    def _expect_end(self, phase: Phase) -> SagaEnded:
        ended = next((e for e in reversed(self._events) if isinstance(e, SagaEnded)), None)
        if ended is None or ended.phase != phase:
            name = phase.name.lower().replace("_", " ")
            raise AssertionError(f"expected the saga to be {name}\n{self._seen()}")
        return ended

    def _seen(self) -> str:
        lines = ["the saga's events:"]
        lines += [f"  {number}. {event}" for number, event in enumerate(self._events, 1)]
        lines.append("waiting for an answer:")
        lines += [f"  {p.command!r} (attempt {p.effect.attempt})" for p in self._pending]
        faults = [e.text for e in self._events if isinstance(e, NodeFaulted)]
        lines += [f"a function of the saga raised: {text}" for text in faults]
        return "\n".join(lines)


def trial(start: Start[Any]) -> Trial:
    """Start a saga in virtual time, with nothing else running.

    Raises:
        DefinitionError: if the definition has mistakes.
    """
    payloads = AvroPayloads()
    definition = start.saga.bind(payloads)
    payload = payloads.encode(start.payload, type(start.payload))
    command = StartSaga(_SAGA, definition.name, definition.version, payload)
    return Trial(definition, start.saga.commands(), command, payloads)
