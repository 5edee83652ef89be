"""The tables: `evolve` does what they say, refuses the rest, and the page is drawn from them."""

from pathlib import Path
from runpy import run_path

import pytest
from core_definitions import definition, step
from core_saga import Saga

from orchestrator.core import events as ev
from orchestrator.core import transitions
from orchestrator.core.evolve import evolve
from orchestrator.core.log import fold, replay, verify_sequence
from orchestrator.core.state import IDLE, Phase, StepState, StepStatus
from orchestrator.core.transitions import PHASES, STEPS, diagram
from orchestrator.errors import SequenceGap, StateError

PAGE = Path(__file__).parents[2] / "docs" / "state-machine.md"

EXAMPLES = (
    ev.SagaStarted("saga-1", "trip", 1, 7, 1, 1, 0, 9, b"digest", b"payload"),
    ev.BranchChosen(0, 1, "gift"),
    ev.StepRequested(0, 1, 9, b"do", "s0"),
    ev.StepSucceeded(0, 1, True, b"result"),
    ev.StepFailed(0, 1, b"failure", ""),
    ev.AttemptFailed(0, 1, 9, "timeout", ""),
    ev.StepUnknown(0, 1, True, "timeout", ""),
    ev.StepStuck(0, 1, "attempts_exhausted", ""),
    ev.CompensationStarted("step_failed", 0, "", ""),
    ev.CompensationRequested(0, 1, 9, b"undo", "s0"),
    ev.CompensationSucceeded(0, 1),
    ev.CompensationStuck(0, 1, "declared_failure", ""),
    ev.NodeFaulted(1, "raised"),
    ev.RetryOrdered("ada", ""),
    ev.StepSkipped(0, "ada", ""),
    ev.StepResolved(0, True, "ada", "", b"result"),
    ev.CommandRefused("cancel", "finished", "ada", ""),
    ev.ReplyIgnored(0, "do", 1, "late"),
    ev.TimerIgnored(0),
    ev.DeadlinePassed(),
    ev.SagaEnded(Phase.COMPLETED, 1, 99, b"result"),
    ev.SagaForgotten(),
)
BLANK = fold(EXAMPLES[:1])


def a_state(phase=Phase.RUNNING, status=StepStatus.IDLE):
    return BLANK._replace(phase=phase, steps=(StepState(status, 1, 0, False, 5, b"do", b"r"),))


def test_every_event_has_an_example_a_number_and_a_row():
    kinds = [type(example) for example in EXAMPLES]

    assert set(kinds) == set(ev.EVENT_NUMBERS) == set(PHASES)
    assert sorted(ev.EVENT_NUMBERS.values()) == list(range(1, 23))
    assert set(STEPS) == {kind for kind in PHASES if "step" in kind._fields} - {
        ev.CompensationStarted,
        ev.ReplyIgnored,
        ev.TimerIgnored,
    }


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("phase", [None, *Phase])
def test_phases_follow_the_table(event, phase):
    status = next(iter(STEPS.get(type(event), {StepStatus.IDLE: None})))
    before = None if phase is None else a_state(phase, status)
    allowed = PHASES[type(event)].get(phase)
    if phase is Phase.COMPENSATING and isinstance(event, ev.SagaEnded):
        event = event._replace(phase=Phase.CANCELLED)

    if allowed is None:
        with pytest.raises(StateError):
            evolve(before, event)
        return
    after = evolve(before, event)
    assert (None if after is None else after.phase) in allowed
    if after is not None:
        assert after.sequence == (1 if before is None else before.sequence + 1)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
@pytest.mark.parametrize("status", StepStatus)
def test_statuses_follow_the_table(event, status):
    moves = STEPS.get(type(event))
    if moves is None:
        return
    phase = next(iter(PHASES[type(event)]))
    before = a_state(phase, status)
    copy = tuple(before)

    if status in moves:
        assert evolve(before, event).steps[0].status is moves[status]
    else:
        with pytest.raises(StateError, match=type(event).__name__):
            evolve(before, event)
    assert tuple(before) == copy


@pytest.mark.parametrize(
    "event",
    [
        ev.StepRequested(1, 1, 9, b"", "s1"),
        ev.StepRequested(-1, 1, 9, b"", "s1"),
        ev.BranchChosen(1, 1, "none"),
        ev.BranchChosen(-1, 1, "none"),
        ev.TimerIgnored(1),
        ev.TimerIgnored(-2),
        ev.SagaEnded(Phase.ROLLED_BACK, 1, 99, b""),
        "no event at all",
    ],
)
def test_an_event_that_does_not_fit_is_refused(event):
    with pytest.raises(StateError):
        evolve(a_state(), event)


def test_a_choice_is_made_once():
    with pytest.raises(StateError):
        fold((ev.BranchChosen(0, 1, "gift"), ev.BranchChosen(0, 2, "gift")), a_state())


def test_a_timer_that_means_nothing_is_disarmed():
    assert evolve(a_state(), ev.TimerIgnored(0)).steps[0].due_ms == 0
    assert evolve(a_state(), ev.TimerIgnored(-1)).due_ms == 0


def test_the_page_is_drawn_from_the_tables():
    assert PAGE.read_text(encoding="utf-8") == diagram()


def test_the_page_is_written_by_a_command(capsys):
    run_path(transitions.__file__, run_name="__main__")

    assert capsys.readouterr().out == diagram()


# --- the log ------------------------------------------------------------------------------------


def test_a_log_is_folded_transition_by_transition():
    saga = Saga(definition(step(0)))
    more = saga.succeed(0)

    state = replay(None, 1, saga.first)
    assert replay(state, 3, more) == saga.state
    assert fold(saga.log) == saga.state
    assert fold(()) is None


@pytest.mark.parametrize("first", [0, 1, 2, 4])
def test_a_gap_or_a_repetition_is_found(first):
    saga = Saga(definition(step(0)))

    with pytest.raises(SequenceGap, match=f"expected event 3, found {first}"):
        replay(saga.state, first, ())
    with pytest.raises(SequenceGap):
        verify_sequence(None, 2)


def test_a_saga_may_start_anew_once_it_is_forgotten():
    ended = a_state(Phase.COMPLETED)

    assert fold((ev.SagaForgotten(), EXAMPLES[0]), ended) == BLANK
    assert BLANK.steps == (IDLE,)
