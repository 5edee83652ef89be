"""Attempts: timeouts, `retry` replies, pauses, and what happens when the budget is spent."""

import pytest
from core_definitions import ONCE, WITHIN_MS, definition, step, undo
from core_saga import Saga, names, why

from orchestrator.core.attempts import pause_ms
from orchestrator.core.definition import FOREVER, Parallel, RetryPolicy
from orchestrator.core.state import Consistency, Phase, StepStatus

TWICE = RetryPolicy(attempts_max=2)


def test_an_attempt_that_is_not_answered_is_made_again_after_a_pause():
    saga = Saga(definition(step(0, retry=TWICE)))

    (failed,) = saga.fire(0)

    assert (failed.reason, failed.attempt) == ("timeout", 1)
    assert saga.now_ms == 1_000 + WITHIN_MS
    assert 500 <= failed.due_ms - saga.now_ms < 1_000
    assert saga.step(0).status is StepStatus.WAITING
    assert saga.step(0).doubtful

    (requested,) = saga.fire(0)

    assert (requested.attempt, requested.command) == (2, b"")
    assert requested.due_ms == saga.now_ms + WITHIN_MS
    assert saga.step(0).command == b"do0"
    assert saga.sent == ["saga-1/s0/do/1", "saga-1/s0/do/2"]


def test_a_retry_reply_counts_as_a_failed_attempt():
    saga = Saga(definition(step(0, retry=TWICE)))

    (failed,) = saga.again(0, text="busy")

    assert (failed.reason, failed.text) == ("retry", "busy")


def test_an_undo_is_attempted_in_the_same_way_with_its_own_policy():
    saga = Saga(definition(step(0, retry=ONCE, undo=undo(0, retry=TWICE)), step(1)))
    saga.succeed(0)
    saga.fail(1)

    assert names(saga.again(0, direction="undo")) == "AttemptFailed0"
    assert saga.step(0).status is StepStatus.UNDO_WAITING
    assert names(saga.fire(0)) == "CompensationRequested0"
    assert saga.sent[-1] == "saga-1/s0/undo/2"
    (stuck,) = saga.fire(0)
    assert stuck.reason == "attempts_exhausted"


def test_an_undo_is_attempted_for_ever_unless_told_otherwise():
    saga = Saga(definition(step(0), step(1)))
    saga.succeed(0)
    saga.fail(1)
    for _ in range(100):
        saga.fire(0)
        saga.fire(0)

    assert saga.sent[-1] == "saga-1/s0/undo/101"
    assert not saga.state.stuck


@pytest.mark.parametrize(
    ("reply", "expected"),
    [("fire", "StepUnknown0"), ("again", "StepUnknown0")],
)
def test_a_spent_budget_before_the_pivot_turns_the_saga_back(reply, expected):
    saga = Saga(definition(step(0, retry=ONCE)))

    events = getattr(saga, reply)(0)

    assert names(events) == f"{expected} CompensationStarted0 CompensationRequested0"
    assert events[1].cause == "step_unknown"
    assert not events[0].lost
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"
    assert saga.state.consistency is Consistency.CONSISTENT


def test_an_irreversible_step_without_an_answer_leaves_the_outcome_unknown():
    saga = Saga(definition(step(0, retry=ONCE, undo=None)))

    events = saga.fire(0)

    assert names(events) == "StepUnknown0 CompensationStarted0 SagaEnded"
    assert events[0].lost
    assert events[-1].consistency == Consistency.UNKNOWN
    assert saga.state.consistency is Consistency.UNKNOWN


def test_a_pivot_with_an_undo_turns_back_when_its_budget_is_spent():
    saga = Saga(definition(step(0, retry=ONCE, pivot=True)))

    assert names(saga.fire(0)) == "StepUnknown0 CompensationStarted0 CompensationRequested0"


def test_an_irreversible_pivot_is_stuck_when_its_budget_is_spent():
    saga = Saga(definition(step(0, retry=ONCE, pivot=True, undo=None)))

    (stuck,) = saga.fire(0)

    assert stuck.reason == "attempts_exhausted"
    assert saga.state.stuck
    assert saga.state.phase is Phase.RUNNING


def test_a_step_after_the_pivot_is_stuck_when_its_budget_is_spent():
    saga = Saga(definition(step(0, pivot=True), step(1, retry=ONCE, undo=None, after_pivot=True)))
    saga.succeed(0)

    assert names(saga.fire(1)) == "StepStuck1"
    assert names(saga.succeed(1)) == "StepSucceeded1 SagaEnded"


def test_no_attempt_is_made_once_the_saga_turns_back():
    saga = Saga(definition(Parallel((step(0), step(1), step(2)))))
    saga.fail(0)

    events = saga.fire(1)
    assert names(events) == "StepUnknown1 CompensationRequested1"
    assert events[0].reason == "timeout"
    events = saga.again(2, text="busy")
    assert names(events) == "StepUnknown2 CompensationRequested2"
    assert events[0].reason == "retry"


def test_a_branch_that_waits_for_an_attempt_is_given_up_when_the_saga_turns_back():
    saga = Saga(definition(Parallel((step(0), step(1), step(2, undo=None)))))
    saga.fire(1)
    saga.fire(2)
    events = saga.fail(0)

    assert names(events) == (
        "StepFailed0 CompensationStarted0 StepUnknown1 CompensationRequested1 StepUnknown2"
    )
    assert [event.lost for event in events if hasattr(event, "lost")] == [False, True]
    assert why(saga.again(2)) == "late"


# --- pauses -------------------------------------------------------------------------------------


def test_pauses_grow_by_the_factor_up_to_the_cap_and_are_shortened_by_less_than_half():
    policy = RetryPolicy(first_ms=100, factor=3.0, cap_ms=1_000)

    pauses = [pause_ms(policy, count, f"saga/step/do/{count}") for count in range(1, 6)]

    for pause, full in zip(pauses, (100, 300, 900, 1_000, 1_000), strict=True):
        assert full / 2 <= pause < full


def test_the_same_effect_always_pauses_the_same_and_others_otherwise():
    policy = RetryPolicy(first_ms=1_000_000, cap_ms=1_000_000)
    pauses = {pause_ms(policy, 1, f"saga-{number}/step/do/1") for number in range(100)}

    assert len(pauses) > 90
    assert pause_ms(policy, 1, "saga/step/do/1") == 568_497


def test_a_pause_beyond_all_floats_is_the_cap():
    policy = RetryPolicy(attempts_max=None, factor=10.0, cap_ms=1_000)

    assert 500 <= pause_ms(policy, 1_000_000, "saga/step/do/1000000") < 1_000


def test_a_pause_is_never_nothing():
    none = RetryPolicy(attempts_max=None, first_ms=0, cap_ms=0)
    saga = Saga(definition(step(0, retry=none)))

    (failed,) = saga.fire(0)

    assert failed.due_ms == saga.now_ms + 1


def test_forever_is_the_default_of_an_undo_alone():
    assert undo(0).retry is FOREVER
    assert step(0).retry.attempts_max == 5
