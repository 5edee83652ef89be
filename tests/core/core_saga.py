"""One saga, driven by hand: what the examples of the core's rules are written with."""

from __future__ import annotations

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
from orchestrator.core.definition import Definition
from orchestrator.core.events import CommandRefused, Event, ReplyIgnored
from orchestrator.core.log import fold
from orchestrator.core.react import effects
from orchestrator.core.state import SAGA_TIMER, SagaState, StepState

SAGA = "saga-1"


class Saga:
    """Feeds commands to the core; each method gives the events of its transition."""

    def __init__(self, definition: Definition, payload: bytes = b"payload") -> None:
        self.definition = definition
        self.now_ms = 1_000
        self.living: SagaState | None = None
        self.log: list[Event] = []
        self.sent: list[str] = []
        self.first = self.feed(StartSaga(SAGA, definition.name, 0, payload))

    def feed(self, command: Command) -> tuple[Event, ...]:
        decision = decide(self.definition, self.living, command, self.now_ms)
        assert decision.rejection is None
        assert fold(decision.events, self.living) == decision.state
        self.living = decision.state
        self.log.extend(decision.events)
        done = effects(self.definition, decision)
        self.sent.extend(getattr(effect, "effect_id", "outcome") for effect in done)
        return decision.events

    @property
    def state(self) -> SagaState:
        assert self.living is not None
        return self.living

    def step(self, index: int) -> StepState:
        return self.state.steps[index]

    def statuses(self) -> str:
        return " ".join(step.status.name for step in self.state.steps)

    # --- what participants answer ---------------------------------------------------------------

    def reply(self, index: int, outcome: ReplyOutcome, **changes) -> tuple[Event, ...]:
        """Answer the last sending that the state knows of, unless told otherwise."""
        fields = {
            "saga_id": SAGA,
            "step_id": f"s{index}",
            "direction": "do",
            "attempt": self.step(index).attempt,
            "outcome": outcome,
            "payload": b"",
            "text": "",
            "participant": f"p{index}",
        }
        return self.feed(ReplyReceived(**(fields | changes)))

    def succeed(self, index: int, **changes) -> tuple[Event, ...]:
        result = {"payload": f"result{index}".encode()}
        return self.reply(index, ReplyOutcome.SUCCEEDED, **(result | changes))

    def fail(self, index: int, **changes) -> tuple[Event, ...]:
        return self.reply(index, ReplyOutcome.FAILED, **({"text": "no"} | changes))

    def again(self, index: int, **changes) -> tuple[Event, ...]:
        return self.reply(index, ReplyOutcome.RETRY, **changes)

    def undone(self, index: int, **changes) -> tuple[Event, ...]:
        return self.succeed(index, **({"direction": "undo", "payload": b""} | changes))

    def undo_fails(self, index: int, **changes) -> tuple[Event, ...]:
        return self.fail(index, direction="undo", **changes)

    # --- time and people ------------------------------------------------------------------------

    def fire(self, index: int = SAGA_TIMER) -> tuple[Event, ...]:
        """Let the step's (or the saga's) timer come due."""
        due_ms = self.state.due_ms if index == SAGA_TIMER else self.step(index).due_ms
        self.now_ms = max(self.now_ms, due_ms)
        return self.feed(TimerFired(SAGA, index, due_ms))

    def cancel(self) -> tuple[Event, ...]:
        return self.feed(CancelSaga(SAGA, "ada", "changed her mind"))

    def retry(self) -> tuple[Event, ...]:
        return self.feed(RetrySaga(SAGA, "ada", "again"))

    def skip(self, step_id: str) -> tuple[Event, ...]:
        return self.feed(SkipStep(SAGA, step_id, "ada", "let it be"))

    def resolve(self, step_id: str, result: bytes = b"") -> tuple[Event, ...]:
        return self.feed(ResolveStep(SAGA, step_id, "ada", "by hand", result))


def names(events: tuple[Event, ...]) -> str:
    """Give the events' kinds, with the step of those that have one: `StepFailed0 SagaEnded`."""
    return " ".join(f"{type(event).__name__}{getattr(event, 'step', '')}" for event in events)


def why(events: tuple[Event, ...]) -> str:
    """Give the reason of the only event, which is a refusal or an ignored reply."""
    (event,) = events
    assert isinstance(event, CommandRefused | ReplyIgnored)
    return event.reason
