"""decide is total: whatever comes in, it gives events or a rejection, and never raises."""

from itertools import product

import pytest
from core_definitions import definition, step, undo
from core_saga import SAGA, Saga

from orchestrator.core.commands import (
    CancelSaga,
    ReplyOutcome,
    ReplyReceived,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
    TimerFired,
)
from orchestrator.core.decide import decide
from orchestrator.core.definition import Parallel
from orchestrator.core.events import SagaForgotten, TimerIgnored
from orchestrator.core.log import fold
from orchestrator.core.react import effects
from orchestrator.core.state import Phase, StepState, StepStatus, Timer, reminder, timers

NOW_MS = 5_000
DUE_MS = 4_000

COMMANDS = (
    StartSaga(SAGA, "trip", 0, b"payload"),
    StartSaga(SAGA, "trip", 3, b"other"),
    *(
        ReplyReceived(SAGA, "s1", direction, attempt, outcome, b"r", "t", participant)
        for direction in ("do", "undo", "up")
        for attempt in (-1, 0, 1, 2, 3)
        for outcome in ReplyOutcome
        for participant in ("p1", "p9")
    ),
    ReplyReceived(SAGA, "s9", "do", 1, ReplyOutcome.SUCCEEDED, b"", "", "p1"),
    *(TimerFired(SAGA, place, DUE_MS) for place in (-2, -1, 0, 1, 9)),
    TimerFired(SAGA, 1, DUE_MS - 1),
    CancelSaga(SAGA, "ada", ""),
    RetrySaga(SAGA, "ada", ""),
    *(SkipStep(SAGA, name, "ada", "") for name in ("s1", "s9")),
    *(
        ResolveStep(SAGA, name, "ada", "", result)
        for name in ("s1", "s9")
        for result in (b"", b"r")
    ),
)

SHAPES = {
    "undoable": {},
    "irreversible": {"undo": None},
    "pivot": {"pivot": True},
    "irreversible pivot": {"pivot": True, "undo": None},
    "after the pivot": {"after_pivot": True, "undo": None},
    "after the pivot, undoable": {"after_pivot": True},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_phase_and_status_takes_every_command(shape):
    trip = definition(step(0), Parallel((step(1, **SHAPES[shape]), step(2))), step(3))
    blank = Saga(trip).state
    tried = 0
    for phase, status in product(Phase, StepStatus):
        done, idle = StepState(StepStatus.SUCCEEDED, 1, 0, False, 0, b"do0"), StepState()
        for attempt, faults in ((2, ()), (0, ()), (2, (trip.step_nodes[1],))):
            this = StepState(status, attempt, 0, False, DUE_MS, b"command")
            sibling = StepState(StepStatus.REQUESTED, 1, 0, False, 0, b"do2")
            state = blank._replace(
                phase=phase, due_ms=DUE_MS, faults=faults, steps=(done, this, sibling, idle)
            )
            if faults and (phase is not Phase.RUNNING or status is not StepStatus.IDLE):
                continue
            for command in COMMANDS:
                take(trip, state, command)
                tried += 1
    assert tried > 10_000


def take(trip, state, command):
    decision = decide(trip, state, command, NOW_MS)

    if not decision.events:
        assert isinstance(command, TimerFired)
        armed = {(timer.step, timer.due_ms) for timer in timers(state)}
        assert (command.step, command.due_ms) not in armed
    assert decision.rejection is None
    assert fold(decision.events, state) == decision.state
    assert reminder(state) == min(timers(state), default=None)
    effects(trip, decision)


def test_a_timer_is_acted_on_only_when_it_is_armed_and_due():
    trip = definition(step(0))
    state = Saga(trip).state
    due_ms = state.steps[0].due_ms

    for timer, now_ms in (
        (TimerFired(SAGA, 0, due_ms), due_ms - 1),
        (TimerFired(SAGA, 0, due_ms - 1), due_ms),
        (TimerFired(SAGA, 9, due_ms), due_ms),
        (TimerFired(SAGA, 0, 0), due_ms),
    ):
        assert decide(trip, state, timer, now_ms) == ((), state, None)
    assert decide(trip, None, TimerFired(SAGA, 0, due_ms), due_ms) == ((), None, None)
    assert decide(trip, state, TimerFired(SAGA, 0, due_ms), due_ms).events


def test_a_timer_that_nothing_waits_for_is_disarmed():
    trip = definition(step(0, undo=undo(0)))
    state = Saga(trip).state
    odd = state._replace(steps=(StepState(StepStatus.UNDONE, due_ms=DUE_MS),))
    odd_end = odd._replace(phase=Phase.COMPLETED)

    for stray in (odd, odd._replace(phase=Phase.COMPENSATING), odd_end):
        decision = decide(trip, stray, TimerFired(SAGA, 0, DUE_MS), NOW_MS)
        assert decision.events == (TimerIgnored(0),)
        assert decision.state.steps[0].due_ms == 0


def test_a_finished_saga_is_forgotten_when_its_time_comes():
    trip = definition(step(0))
    saga = Saga(trip)
    saga.succeed(0)

    decision = decide(None, saga.state, TimerFired(SAGA, -1, saga.state.due_ms), saga.state.due_ms)

    assert decision == ((SagaForgotten(),), None, None)
    assert effects(trip, decision) == ()


@pytest.mark.parametrize("other", [None, definition(step(0), fingerprint=8)])
@pytest.mark.parametrize(
    "command",
    [
        ReplyReceived(SAGA, "s0", "do", 1, ReplyOutcome.SUCCEEDED, b"", "", "p0"),
        TimerFired(SAGA, 0, 2_000),
        CancelSaga(SAGA, "ada", ""),
    ],
)
def test_a_saga_whose_definition_is_missing_or_changed_is_left_alone(other, command):
    state = Saga(definition(step(0))).state

    decision = decide(other, state, command, NOW_MS)

    assert (decision.events, decision.state) == ((), state)
    assert decision.rejection is not None
    assert decision.rejection.reason == "unknown_version"


def test_timers_are_those_of_the_steps_and_the_saga():
    saga = Saga(definition(Parallel((step(0), step(1)))))
    saga.succeed(0)

    assert timers(saga.state) == (Timer(2_000, SAGA, 1), Timer(3_601_000, SAGA, -1))
    assert timers(saga.state._replace(due_ms=0, steps=())) == ()
