"""Replies that are late, repeated, out of order or not ours: each is recorded, none does harm."""

import pytest
from core_definitions import ONCE, definition, step, undo
from core_saga import SAGA, Saga, names, why

from orchestrator.core.commands import ReplyOutcome, ReplyReceived
from orchestrator.core.decide import decide
from orchestrator.core.definition import Parallel, RetryPolicy
from orchestrator.core.state import StepStatus

TWICE = RetryPolicy(attempts_max=2)
SUCCEEDED, FAILED, RETRY = ReplyOutcome


def two_steps(**changes):
    return Saga(definition(step(0, **changes), step(1)))


def compensating():
    saga = two_steps()
    saga.succeed(0)
    saga.fail(1)
    return saga


def test_nobody_answers_for_another_participant():
    saga = two_steps()

    (ignored,) = saga.succeed(0, participant="p1")
    assert ignored == (0, "do", 1, "wrong_participant")
    assert why(compensating().undone(0, participant="p1")) == "wrong_participant"


def test_a_reply_for_no_step_of_the_saga_is_ignored():
    assert two_steps().succeed(0, step_id="s9") == ((-1, "do", 1, "unknown_step"),)


def test_a_reply_in_no_direction_is_ignored():
    assert why(two_steps().succeed(0, direction="up")) == "wrong_direction"


def test_an_undo_that_was_not_asked_for_is_ignored():
    assert why(two_steps().undone(0)) == "wrong_direction"
    assert why(two_steps(undo=None).undone(0)) == "wrong_direction"


def test_an_attempt_that_was_not_made_is_ignored():
    assert why(two_steps().succeed(0, attempt=2)) == "future_attempt"
    assert why(two_steps().succeed(0, attempt=0)) == "stale"
    assert why(two_steps().succeed(1, attempt=1)) == "future_attempt"
    assert why(compensating().undone(0, attempt=2)) == "future_attempt"
    assert why(compensating().undone(0, attempt=0)) == "stale"


@pytest.mark.parametrize(
    ("outcome", "reason"), [(SUCCEEDED, "duplicate"), (FAILED, "late"), (RETRY, "late")]
)
def test_a_step_that_succeeded_stays_so(outcome, reason):
    saga = two_steps()
    saga.succeed(0)

    assert why(saga.reply(0, outcome)) == reason
    assert saga.step(0).status is StepStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("outcome", "reason"), [(SUCCEEDED, "late"), (FAILED, "duplicate"), (RETRY, "late")]
)
def test_a_step_that_failed_stays_so(outcome, reason):
    saga = compensating()

    assert why(saga.reply(1, outcome)) == reason


@pytest.mark.parametrize(
    ("outcome", "reason"), [(SUCCEEDED, "duplicate"), (FAILED, "late"), (RETRY, "late")]
)
def test_a_step_that_was_undone_stays_so(outcome, reason):
    saga = Saga(definition(Parallel((step(0), step(1), step(2)))))
    saga.succeed(0)
    saga.fail(1)
    saga.undone(0)

    assert why(saga.reply(0, outcome, direction="undo", attempt=1)) == reason
    assert why(saga.succeed(0, attempt=1)) == "late"


def test_success_of_an_earlier_attempt_counts():
    saga = two_steps()
    saga.fire(0)
    saga.fire(0)

    events = saga.succeed(0, attempt=1)
    assert names(events) == "StepSucceeded0 StepRequested1"
    assert events[0].attempt == 1


def test_success_counts_while_the_next_attempt_is_awaited():
    saga = two_steps()
    saga.again(0)

    assert names(saga.succeed(0)) == "StepSucceeded0 StepRequested1"


def test_success_counts_for_a_stuck_step():
    saga = two_steps(pivot=True, undo=None, retry=ONCE)
    saga.fire(0)

    assert why(saga.again(0)) == "late"
    assert names(saga.succeed(0)) == "StepSucceeded0 StepRequested1"


def test_success_of_a_step_that_was_given_up_comes_too_late():
    saga = Saga(definition(step(0), step(1, retry=ONCE)))
    saga.succeed(0)
    saga.fire(1)

    assert why(saga.succeed(1)) == "late"
    assert names(saga.undone(1)) == "CompensationSucceeded1 CompensationRequested0"


def test_retry_replies_count_once_and_only_for_the_last_attempt():
    saga = two_steps()
    saga.again(0)
    assert why(saga.again(0)) == "late"
    saga.fire(0)
    assert why(saga.again(0, attempt=1)) == "stale"


def test_undo_success_of_any_attempt_counts():
    saga = compensating()
    saga.fire(0)
    assert saga.step(0).status is StepStatus.UNDO_WAITING
    assert why(saga.again(0, direction="undo")) == "late"
    saga.fire(0)
    assert why(saga.again(0, direction="undo", attempt=1)) == "stale"

    assert names(saga.undone(0, attempt=1)) == "CompensationSucceeded0 SagaEnded"


def test_a_stuck_undo_hears_nothing_but_success():
    saga = Saga(definition(step(0, undo=undo(0, retry=ONCE)), step(1)))
    saga.succeed(0)
    saga.fail(1)
    saga.fire(0)

    assert why(saga.undo_fails(0)) == "late"
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"


def test_a_finished_saga_ignores_every_reply():
    saga = Saga(definition(step(0)))
    saga.succeed(0)

    assert saga.succeed(0, attempt=1) == ((-1, "do", 1, "finished"),)


def test_a_reply_for_no_saga_is_rejected():
    reply = ReplyReceived(SAGA, "s0", "do", 1, SUCCEEDED, b"", "", "p0")
    decision = decide(definition(step(0)), None, reply, 0)

    assert decision.rejection is not None
    assert decision.rejection.reason == "unknown_saga"
