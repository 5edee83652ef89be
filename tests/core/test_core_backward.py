"""Backward: which steps are undone, in which order, and how a saga that turned back ends."""

import pytest
from core_definitions import ONCE, definition, step, undo, when
from core_saga import Saga, names, why

from orchestrator.core.definition import Fault, Parallel, Result, RetryPolicy, Sequence
from orchestrator.core.state import Consistency, Phase, StepStatus

TWICE = RetryPolicy(attempts_max=2)


def test_a_declared_failure_undoes_what_succeeded_latest_first():
    saga = Saga(definition(step(0), step(1), step(2)))
    saga.succeed(0)
    saga.succeed(1)

    events = saga.fail(2, payload=b"sold out")
    assert names(events) == "StepFailed2 CompensationStarted2 CompensationRequested1"
    assert (events[0].failure, events[0].text) == (b"sold out", "no")
    assert events[1].cause == "step_failed"
    assert names(saga.undone(1)) == "CompensationSucceeded1 CompensationRequested0"
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"
    assert saga.state.phase is Phase.ROLLED_BACK
    assert saga.state.consistency is Consistency.CONSISTENT


def test_an_undo_is_made_from_the_command_and_the_result():
    seen = []

    def function(arguments):
        seen.append(arguments)
        return b"cancel"

    saga = Saga(definition(step(0, undo=undo(0, function=function)), step(1)))
    saga.succeed(0)
    requested = saga.fail(1)[-1]

    assert seen == [(b"do0", b"result0")]
    assert (requested.attempt, requested.command) == (1, b"cancel")
    assert saga.step(0).result == b""


def test_the_undo_of_an_unknown_step_has_no_result():
    seen = []

    def function(arguments):
        seen.append(arguments)
        return b"cancel"

    saga = Saga(definition(step(0, retry=ONCE, undo=undo(0, function=function))))
    saga.fire(0)

    assert seen == [(b"do0", None)]


def test_a_step_that_cannot_be_undone_is_passed_over_and_keeps_no_command():
    saga = Saga(definition(step(0), step(1, undo=None), step(2)))
    saga.succeed(0)
    (succeeded, _) = saga.succeed(1)

    assert not succeeded.keep_command
    assert saga.step(1).command == b""
    assert names(saga.fail(2)).endswith("CompensationStarted2 CompensationRequested0")


def test_parallel_branches_are_undone_together_and_what_came_before_afterwards():
    saga = Saga(definition(step(0), Parallel((Sequence((step(1), step(2))), step(3))), step(4)))
    for index in (0, 1, 3, 2):
        saga.succeed(index)

    assert names(saga.fail(4)).endswith("CompensationRequested2 CompensationRequested3")
    assert names(saga.undone(3)) == "CompensationSucceeded3"
    assert names(saga.undone(2)) == "CompensationSucceeded2 CompensationRequested1"
    assert names(saga.undone(1)) == "CompensationSucceeded1 CompensationRequested0"


@pytest.mark.parametrize("holds", [True, False])
def test_only_the_branch_that_was_taken_is_undone(holds):
    saga = Saga(definition(when(0, holds, step(0), step(1)), when(1, False, step(2)), step(3)))
    taken = 0 if holds else 1
    saga.succeed(taken)

    assert names(saga.fail(3)).endswith(f"CompensationStarted3 CompensationRequested{taken}")


def test_branches_not_yet_reached_are_passed_over():
    saga = Saga(
        definition(
            step(0),
            step(1),
            when(0, True, step(2)),
            Parallel((step(3), Sequence(()))),
            Sequence(()),
        )
    )
    saga.succeed(0)

    assert names(saga.fail(1)) == "StepFailed1 CompensationStarted1 CompensationRequested0"


def test_a_parallel_in_which_a_later_branch_is_still_undone_waits_for_it():
    saga = Saga(
        definition(
            step(0), Parallel((step(1), when(0, True, step(2)), step(3, undo=None))), step(4)
        )
    )
    for index in (0, 1, 2, 3):
        saga.succeed(index)
    saga.fail(4)

    assert names(saga.undone(1)) == "CompensationSucceeded1"
    assert names(saga.undone(2)) == "CompensationSucceeded2 CompensationRequested0"


def test_siblings_in_flight_are_awaited_and_then_undone():
    saga = Saga(definition(Parallel((step(0), step(1), step(2)))))

    assert names(saga.fail(0)) == "StepFailed0 CompensationStarted0"
    assert names(saga.succeed(1)) == "StepSucceeded1 CompensationRequested1"
    assert names(saga.fail(2)) == "StepFailed2"
    assert names(saga.undone(1)) == "CompensationSucceeded1 SagaEnded"


def test_a_sibling_that_cannot_be_undone_is_awaited_too():
    saga = Saga(definition(step(0), Parallel((step(1), step(2, undo=None)))))
    saga.succeed(0)
    saga.fail(1)

    assert names(saga.succeed(2)) == "StepSucceeded2 CompensationRequested0"


# --- doubtful failures --------------------------------------------------------------------------


def test_a_failure_after_an_unanswered_attempt_is_doubtful_and_undone():
    saga = Saga(definition(step(0, retry=TWICE)))
    saga.fire(0)
    saga.fire(0)

    events = saga.fail(0)

    assert names(events) == "StepUnknown0 CompensationStarted0 CompensationRequested0"
    assert (events[0].reason, events[0].lost) == ("doubtful_failure", False)
    assert events[1].cause == "step_failed"


def test_a_failure_of_an_earlier_attempt_is_doubtful():
    saga = Saga(definition(step(0, retry=TWICE)))
    saga.fire(0)
    saga.fire(0)

    assert names(saga.fail(0, attempt=1)).startswith("StepUnknown0")


def test_a_failure_while_waiting_counts():
    saga = Saga(definition(step(0)))
    saga.again(0)

    assert names(saga.fail(0)).startswith("StepUnknown0 CompensationStarted0")


def test_a_doubtful_failure_of_what_cannot_be_undone_is_believed():
    saga = Saga(definition(step(0, retry=TWICE, undo=None)))
    saga.fire(0)
    saga.fire(0)

    assert names(saga.fail(0)) == "StepFailed0 CompensationStarted0 SagaEnded"


def test_a_pivot_that_is_declined_turns_the_saga_back():
    saga = Saga(definition(step(0), step(1, pivot=True, undo=None)))
    saga.succeed(0)

    assert names(saga.fail(1)) == "StepFailed1 CompensationStarted1 CompensationRequested0"


def test_an_irreversible_pivot_that_is_stuck_and_then_declined_turns_back():
    saga = Saga(definition(step(0), step(1, pivot=True, undo=None, retry=ONCE)))
    saga.succeed(0)
    saga.fire(1)

    assert names(saga.fail(1)) == "StepFailed1 CompensationStarted1 CompensationRequested0"


def test_a_declared_failure_after_the_pivot_is_stuck():
    saga = Saga(definition(step(0, pivot=True), step(1, undo=None, after_pivot=True)))
    saga.succeed(0)

    (stuck,) = saga.fail(1)
    assert (stuck.reason, stuck.text) == ("declared_failure", "no")
    assert why(saga.fail(1)) == "late"


# --- stuck compensations ------------------------------------------------------------------------


def stuck_in_the_middle():
    saga = Saga(definition(step(0), step(1, undo=undo(1, retry=ONCE)), step(2), step(3)))
    for index in (0, 1, 2):
        saga.succeed(index)
    saga.fail(3)
    saga.undone(2)
    return saga


def test_a_compensation_that_fails_is_stuck_and_the_others_still_run():
    saga = stuck_in_the_middle()

    events = saga.undo_fails(1)
    assert names(events) == "CompensationStuck1 CompensationRequested0"
    assert (events[0].reason, events[0].text) == ("declared_failure", "no")
    assert names(saga.undone(0)) == "CompensationSucceeded0"
    assert saga.state.phase is Phase.COMPENSATING
    assert saga.state.consistency is Consistency.STUCK


def test_a_stuck_compensation_that_succeeds_late_ends_the_saga():
    saga = stuck_in_the_middle()
    saga.fire(1)
    saga.undone(0)

    assert names(saga.undone(1)) == "CompensationSucceeded1 SagaEnded"
    assert saga.state.phase is Phase.ROLLED_BACK


def test_a_stuck_compensation_that_succeeds_early_does_not_end_it_too_soon():
    saga = stuck_in_the_middle()
    saga.undo_fails(1)

    assert names(saga.undone(1)) == "CompensationSucceeded1"
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"


def test_a_retried_compensation_holds_up_the_end():
    saga = stuck_in_the_middle()
    saga.undo_fails(1)
    assert names(saga.retry()) == "RetryOrdered CompensationRequested1"

    assert names(saga.undone(0)) == "CompensationSucceeded0"
    assert names(saga.undone(1)) == "CompensationSucceeded1 SagaEnded"


def test_an_undo_whose_function_raises_is_stuck_and_made_again_by_a_retry():
    broken = [1]
    seen = []

    def function(arguments):
        seen.append(arguments)
        return Fault("it raised") if broken else b"cancel"

    saga = Saga(definition(step(0), step(1, undo=undo(1, function=function)), step(2)))
    saga.succeed(0)
    saga.succeed(1)

    events = saga.fail(2)
    assert names(events).endswith("CompensationStuck1 CompensationRequested0")
    assert (events[2].attempt, events[2].reason) == (0, "definition_raised")
    assert names(saga.retry()) == "RetryOrdered CompensationStuck1"
    broken.clear()
    assert names(saga.retry()) == "RetryOrdered CompensationRequested1"
    assert saga.sent[-1] == "saga-1/s1/undo/1"
    assert set(seen) == {(b"do1", b"result1")}


def test_the_undo_of_what_was_done_by_hand_has_no_command():
    seen = []
    broken = [1]

    def undo_function(arguments):
        seen.append(arguments)
        return b"cancel"

    first = step(
        0,
        function=lambda _: Fault("raised") if broken else b"",
        undo=undo(0, function=undo_function),
    )
    saga = Saga(definition(first, step(1)))
    saga.resolve("s0")
    saga.fail(1)

    assert seen == [(None, None)]


# --- deadline and cancel ------------------------------------------------------------------------


def test_the_deadline_turns_the_saga_back():
    saga = Saga(definition(step(0), step(1), deadline_ms=100))
    saga.succeed(0)

    events = saga.fire()
    assert names(events) == "CompensationStarted-1"
    assert events[0].cause == "deadline"
    assert names(saga.fail(1)) == "StepFailed1 CompensationRequested0"
    assert names(saga.fire()) == "DeadlinePassed"
    assert saga.state.due_ms == 0
    saga.undone(0)
    assert saga.state.phase is Phase.ROLLED_BACK


def test_the_deadline_after_the_pivot_was_requested_is_only_recorded():
    saga = Saga(definition(step(0, pivot=True), step(1, undo=None, after_pivot=True)))

    assert names(saga.fire()) == "DeadlinePassed"
    saga.succeed(0)
    saga.succeed(1)
    assert saga.state.phase is Phase.COMPLETED


def test_a_deadline_before_the_pivot_turns_back():
    saga = Saga(definition(step(0), step(1, pivot=True)))

    assert names(saga.fire()) == "CompensationStarted-1"


def test_cancel_undoes_everything_and_is_named():
    saga = Saga(definition(step(0), step(1)))
    saga.succeed(0)

    (started,) = saga.cancel()
    assert (started.cause, started.actor, started.text) == ("cancelled", "ada", "changed her mind")
    assert names(saga.succeed(1)) == "StepSucceeded1 CompensationRequested1"
    assert why(saga.cancel()) == "already_compensating"
    saga.undone(1)
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"
    assert saga.state.phase is Phase.CANCELLED
    assert why(saga.cancel()) == "finished"


def test_cancel_is_refused_once_the_pivot_has_been_requested():
    saga = Saga(definition(step(0, pivot=True)))

    assert why(saga.cancel()) == "past_pivot"


def test_cancel_gets_a_saga_out_that_waits_for_a_person():
    saga = Saga(definition(step(0), step(1, function=lambda _: Fault("raised"))))
    saga.succeed(0)

    assert names(saga.cancel()) == "CompensationStarted-1 CompensationRequested0"
    assert not saga.state.stuck


def test_a_result_is_absent_once_its_step_was_given_up():
    saga = Saga(definition(step(0), step(1, arguments=(Result(0),))))
    saga.cancel()

    assert saga.step(0).status is StepStatus.REQUESTED
