"""Operators: retry, skip and resolve, and when they are refused."""

import pytest
from core_definitions import ONCE, constant, definition, step, undo, when
from core_saga import SAGA, Saga, names, why

from orchestrator.core.commands import CancelSaga, ResolveStep, RetrySaga, SkipStep
from orchestrator.core.decide import decide
from orchestrator.core.definition import Chosen, Derived, Fault, Parallel, Result, RetryPolicy
from orchestrator.core.state import Consistency, Phase, StepStatus

RAISES = {"function": lambda _: Fault("raised")}


def after_pivot(**changes):
    """Give a saga whose step 1, after the pivot, is stuck."""
    second = step(1, undo=None, after_pivot=True, retry=ONCE)
    third = step(2, undo=None, after_pivot=True)
    saga = Saga(definition(step(0, pivot=True), second, third, **changes))
    saga.succeed(0)
    saga.fire(1)
    return saga


def stuck_pivot():
    saga = Saga(definition(step(0), step(1, pivot=True, undo=None, retry=ONCE)))
    saga.succeed(0)
    saga.fire(1)
    return saga


def stuck_undo():
    saga = Saga(definition(step(0, undo=undo(0, retry=ONCE)), step(1)))
    saga.succeed(0)
    saga.fail(1)
    saga.fire(0)
    return saga


# --- retry --------------------------------------------------------------------------------------


def test_retry_sends_a_stuck_step_again_with_a_new_id_and_a_fresh_budget():
    saga = after_pivot()

    events = saga.retry()
    assert names(events) == "RetryOrdered StepRequested1"
    assert (events[0].actor, events[0].reason) == ("ada", "again")
    assert saga.sent[-1] == "saga-1/s1/do/2"
    assert saga.step(1).attempts_before == 1
    assert names(saga.fire(1)) == "StepStuck1"


def test_a_fresh_budget_is_a_whole_one():
    policy = RetryPolicy(attempts_max=2)
    saga = Saga(definition(step(0, pivot=True, undo=None, retry=policy)))
    kinds = []
    for _ in range(2):
        kinds += [names(saga.fire(0)) for _ in range(3)]
        kinds.append(names(saga.retry()))

    once = ["AttemptFailed0", "StepRequested0", "StepStuck0", "RetryOrdered StepRequested0"]
    assert kinds == once * 2


def test_retry_sends_a_stuck_undo_again():
    saga = stuck_undo()

    assert names(saga.retry()) == "RetryOrdered CompensationRequested0"
    assert saga.sent[-1] == "saga-1/s0/undo/2"
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"


def test_retry_tries_everything_that_is_stuck():
    broken = [1]
    faulty = step(2, function=lambda _: Fault("raised") if broken else b"do2", after_pivot=True)
    stuck = step(1, undo=None, after_pivot=True, retry=ONCE)
    saga = Saga(definition(step(0, pivot=True), Parallel((stuck, faulty))))
    saga.succeed(0)
    saga.fire(1)
    broken.clear()

    assert names(saga.retry()) == "RetryOrdered StepRequested1 StepRequested2"


def test_retry_is_refused_where_nothing_is_stuck():
    assert why(Saga(definition(step(0))).retry()) == "not_stuck"


# --- skip ---------------------------------------------------------------------------------------


def test_a_stuck_step_after_the_pivot_can_be_skipped():
    saga = after_pivot()

    events = saga.skip("s1")
    assert names(events) == "StepSkipped1 StepRequested2"
    assert (events[0].actor, events[0].reason) == ("ada", "let it be")
    saga.succeed(2)
    assert saga.state.phase is Phase.COMPLETED
    assert saga.state.consistency is Consistency.UNKNOWN


@pytest.mark.parametrize(
    "changes",
    [
        {"result": Result(1)},
        {"result": Chosen(0, None, Result(1))},
        {"result": Derived("of", lambda _: b"", (Derived("x", lambda _: b"", (Result(1),)),))},
    ],
)
def test_a_step_whose_result_is_read_cannot_be_skipped_or_resolved_without_one(changes):
    saga = after_pivot(**changes)

    assert why(saga.skip("s1")) == "result_needed"
    assert why(saga.resolve("s1")) == "result_needed"
    assert names(saga.resolve("s1", b"by hand")) == "StepResolved1 StepRequested2"
    assert saga.step(1).result == b"by hand"


def test_conditions_and_arguments_read_results_too():
    shared = Result(1)
    reads = definition(
        step(0, arguments=(Result(0), shared, shared)),
        when(0, True, step(1)),
    )
    assert reads.places_read == {0, 1}
    assert definition(when(0, True, step(0)), result=constant(b"")).places_read == frozenset()


def test_a_stuck_pivot_that_is_skipped_turns_the_saga_back():
    saga = stuck_pivot()

    events = saga.skip("s1")
    assert names(events) == "StepSkipped1 CompensationStarted1 CompensationRequested0"
    assert events[1].cause == "step_unknown"
    saga.undone(0)
    assert saga.state.phase is Phase.ROLLED_BACK
    assert saga.state.consistency is Consistency.UNKNOWN


def test_a_faulted_step_before_the_pivot_that_is_skipped_turns_the_saga_back():
    saga = Saga(definition(step(0), step(1, **RAISES)))
    saga.succeed(0)

    events = saga.skip("s1")
    assert names(events) == "StepSkipped1 CompensationStarted1 CompensationRequested0"
    assert events[1].cause == "step_failed"


def test_a_faulted_step_after_the_pivot_is_passed_over_and_other_faults_are_tried_again():
    faulty = [step(index, after_pivot=True, undo=None, **RAISES) for index in (1, 2)]
    saga = Saga(definition(step(0, pivot=True), Parallel(tuple(faulty))))
    saga.succeed(0)

    assert names(saga.skip("s1")) == "StepSkipped1 NodeFaulted"
    assert saga.state.faults == (saga.definition.step_nodes[2],)
    assert names(saga.skip("s2")) == "StepSkipped2 SagaEnded"


def test_a_stuck_undo_can_be_skipped():
    saga = stuck_undo()

    assert names(saga.skip("s0")) == "StepSkipped0 SagaEnded"
    assert saga.step(0).status is StepStatus.UNDO_SKIPPED
    assert saga.state.consistency is Consistency.UNKNOWN


@pytest.mark.parametrize("verb", ["skip", "resolve"])
def test_only_what_is_stuck_is_decided_by_hand(verb):
    saga = Saga(definition(step(0)))

    assert why(getattr(saga, verb)("s0")) == "not_stuck"
    assert why(getattr(saga, verb)("s9")) == "unknown_step"
    saga.succeed(0)
    assert why(getattr(saga, verb)("s0")) == "finished"


@pytest.mark.parametrize("verb", ["skip", "resolve"])
def test_an_undo_that_is_tried_for_ever_can_be_decided_by_hand(verb):
    saga = Saga(definition(step(0), step(1)))
    saga.succeed(0)
    saga.fail(1)
    assert why(getattr(saga, verb)("s0")) == "not_stuck"  # it has only just been asked for
    saga.fire(0)
    assert saga.step(0).status is StepStatus.UNDO_WAITING

    assert names(getattr(saga, verb)("s0")).endswith("SagaEnded")
    assert saga.state.phase is Phase.ROLLED_BACK


@pytest.mark.parametrize("verb", ["skip", "resolve"])
def test_a_step_that_is_tried_for_ever_after_the_pivot_can_be_decided_by_hand(verb):
    forever = RetryPolicy(attempts_max=None)
    pivot = step(0, undo=None, pivot=True)
    saga = Saga(definition(pivot, step(1, undo=None, after_pivot=True, retry=forever)))
    saga.succeed(0)
    assert why(getattr(saga, verb)("s1")) == "not_stuck"
    saga.fire(1)
    saga.fire(1)
    assert saga.step(1).status is StepStatus.REQUESTED

    assert names(getattr(saga, verb)("s1")).endswith("SagaEnded")
    assert saga.state.phase is Phase.COMPLETED


def test_a_step_that_is_tried_before_the_pivot_is_left_to_its_policy():
    saga = Saga(definition(step(0), step(1)))
    saga.fire(0)

    assert why(saga.skip("s0")) == "not_stuck"


# --- resolve ------------------------------------------------------------------------------------


def test_a_stuck_step_can_be_resolved():
    saga = after_pivot()

    events = saga.resolve("s1")
    assert names(events) == "StepResolved1 StepRequested2"
    assert (events[0].keep_command, events[0].result) == (False, b"")
    saga.succeed(2)
    assert saga.state.consistency is Consistency.CONSISTENT


def test_a_faulted_step_can_be_resolved_and_is_undone_later():
    saga = Saga(definition(step(0, **RAISES), step(1)))

    events = saga.resolve("s0", b"by hand")
    assert names(events) == "StepResolved0 StepRequested1"
    assert events[0].keep_command
    assert names(saga.fail(1)).endswith("CompensationRequested0")


def test_a_stuck_undo_can_be_resolved():
    saga = stuck_undo()

    events = saga.resolve("s0", b"not wanted")
    assert names(events) == "StepResolved0 SagaEnded"
    assert events[0].result == b""
    assert saga.step(0).status is StepStatus.UNDONE
    assert saga.state.consistency is Consistency.CONSISTENT


@pytest.mark.parametrize(
    "command",
    [
        CancelSaga(SAGA, "ada", ""),
        RetrySaga(SAGA, "ada", ""),
        SkipStep(SAGA, "s0", "ada", ""),
        ResolveStep(SAGA, "s0", "ada", "", b""),
    ],
)
def test_a_saga_that_does_not_exist_takes_no_command(command):
    decision = decide(definition(step(0)), None, command, 0)

    assert decision.rejection is not None
    assert decision.rejection.reason == "unknown_saga"
