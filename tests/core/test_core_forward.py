"""Forward: sequence, parallel, choose, values, the end."""

import pytest
from core_definitions import constant, definition, step, when
from core_saga import SAGA, Saga, names

from orchestrator.core.commands import StartSaga
from orchestrator.core.decide import decide, start_digest
from orchestrator.core.definition import (
    TRUE,
    Choose,
    Chosen,
    Derived,
    Fault,
    Given,
    Parallel,
    Result,
    Sequence,
)
from orchestrator.core.effects import PublishOutcome, SendCommand
from orchestrator.core.events import SagaStarted
from orchestrator.core.react import effects, react
from orchestrator.core.state import Consistency, Phase, StepState, StepStatus
from orchestrator.core.values import evaluate


def echo(arguments):
    return b"|".join(b"-" if part is None else part for part in arguments)


def test_a_start_records_the_saga_and_sends_the_first_command():
    saga = Saga(definition(step(0), step(1)))

    assert names(saga.first) == "SagaStarted StepRequested0"
    started = saga.first[0]
    assert isinstance(started, SagaStarted)
    assert (started.started_ms, started.due_ms) == (1_000, 1_000 + 3_600_000)
    assert (started.steps_count, started.decisions_count) == (2, 0)
    assert saga.state.sequence == 2


def test_the_first_command_is_an_effect_with_all_that_a_participant_must_echo():
    trip = definition(step(0))
    decision = decide(trip, None, StartSaga(SAGA, "trip", 0, b"x"), 1_000)

    expected = SendCommand("saga-1/s0/do/1", SAGA, "s0", "do", 1, 2_000, "p0", "Do0", b"do0")
    assert effects(trip, decision) == (expected,)
    assert react(trip, decision.state, decision.events[0]) == ()
    assert react(trip, decision.state, decision.events[1]) == (expected,)


def test_a_sequence_goes_on_from_each_success_to_its_end():
    saga = Saga(definition(step(0), Sequence((step(1),), name="block"), step(2)))

    assert names(saga.succeed(0)) == "StepSucceeded0 StepRequested1"
    assert names(saga.succeed(1)) == "StepSucceeded1 StepRequested2"
    assert names(saga.succeed(2)) == "StepSucceeded2 SagaEnded"
    assert saga.state.phase is Phase.COMPLETED
    assert saga.state.ended
    assert not saga.state.stuck


def test_parallel_branches_start_together_and_are_joined():
    saga = Saga(definition(Parallel((step(0), Sequence((step(1), step(2))), step(3))), step(4)))

    assert names(saga.first) == "SagaStarted StepRequested0 StepRequested1 StepRequested3"
    assert names(saga.succeed(3)) == "StepSucceeded3"
    assert names(saga.succeed(0)) == "StepSucceeded0"
    assert names(saga.succeed(1)) == "StepSucceeded1 StepRequested2"
    assert names(saga.succeed(2)) == "StepSucceeded2 StepRequested4"


@pytest.mark.parametrize(
    ("holds", "expected"),
    [(True, "BranchChosen StepRequested0"), (False, "BranchChosen StepRequested1")],
)
def test_a_choice_takes_one_branch_and_records_it(holds, expected):
    saga = Saga(definition(when(0, holds, step(0), step(1)), step(2)))

    assert names(saga.first) == "SagaStarted " + expected
    assert saga.state.decisions == ((1,) if holds else (2,))
    assert names(saga.succeed(0 if holds else 1)).endswith("StepRequested2")


def test_a_when_that_does_not_hold_is_passed_over():
    saga = Saga(definition(when(0, False, step(0)), step(1)))

    assert names(saga.first) == "SagaStarted BranchChosen StepRequested1"


def test_a_thousand_skipped_branches_in_a_row_take_one_transition():
    skipped = tuple(when(number, False, step(number)) for number in range(1_000))

    saga = Saga(definition(*skipped))

    assert saga.state.phase is Phase.COMPLETED
    assert saga.state.sequence == 1 + 1_000 + 1


def test_a_plan_may_be_nested_deeper_than_pythons_stack():
    node = step(0)
    for _ in range(3_000):
        node = Sequence((Parallel((node,)),))
    saga = Saga(definition(node, step(1)))

    assert names(saga.succeed(0)) == "StepSucceeded0 StepRequested1"
    assert names(saga.fail(1)).endswith("CompensationRequested0")
    assert names(saga.undone(0)) == "CompensationSucceeded0 SagaEnded"


@pytest.mark.parametrize(
    "root",
    [
        (),
        (Sequence(()),),
        (Parallel(()), Parallel((Sequence(()), Sequence(())))),
        (Parallel((Sequence(()), when(0, False, step(0)))),),
    ],
)
def test_a_saga_without_anything_to_do_ends_at_once_and_once(root):
    saga = Saga(definition(*root))

    assert names(saga.first).count("SagaEnded") == 1
    assert saga.state.phase is Phase.COMPLETED


def test_empty_branches_join_once():
    saga = Saga(definition(Parallel((Sequence(()), Sequence(()))), step(0)))

    assert names(saga.first) == "SagaStarted StepRequested0"


def test_the_end_publishes_the_outcome_and_keeps_only_what_recognises_a_duplicate():
    result = Derived("both", echo, (Given(), Result(0)))
    trip = definition(step(0), result=result, keep_ms=500)
    saga = Saga(trip)
    before = saga.state
    (_, ended) = saga.succeed(0)

    assert ended == (Phase.COMPLETED, Consistency.CONSISTENT, 1_500, b"payload|result0")
    assert saga.state.due_ms == 1_500
    assert saga.state.payload == b""
    assert saga.state.steps == (StepState(StepStatus.SUCCEEDED),)
    assert saga.state.start_digest == before.start_digest
    assert react(trip, saga.state, ended) == (
        PublishOutcome(SAGA, "trip", 1, 3, 1, 4, 1_000, b"payload|result0"),
    )


def test_an_outcome_that_is_absent_is_empty():
    saga = Saga(definition(step(0), result=Chosen(0, None, None), root=Sequence((chosen(),))))

    assert saga.succeed(0)[-1].result == b""


def chosen():
    return when(0, True, step(0))


# --- values -------------------------------------------------------------------------------------


def test_arguments_are_the_payload_results_and_what_is_derived_from_them():
    arguments = (Given(), Result(0), Result(2), Derived("twice", echo, (Result(0), Result(0))))
    saga = Saga(definition(step(0), step(1, function=echo, arguments=arguments), step(2)))

    (_, requested) = saga.succeed(0)

    assert requested.command == b"payload|result0|-|result0|result0"


@pytest.mark.parametrize(
    ("decision", "expected"),
    [(0, None), (1, b"payload"), (2, b"other")],
)
def test_a_chosen_value_is_that_of_the_branch_taken(decision, expected):
    saga = Saga(definition(when(0, True, step(0), step(1))))
    state = saga.state._replace(decisions=(decision,))

    assert evaluate(Chosen(0, Given(), constant(b"other")), state) == expected


def test_a_chosen_value_without_a_branch_is_absent():
    saga = Saga(definition(when(0, True, step(0))))

    assert evaluate(Chosen(0, None, Given()), saga.state) is None


def test_derived_values_are_computed_once_however_often_and_deep_they_are_read():
    calls = []

    def note(arguments):
        calls.append(arguments)
        return b"x"

    value = Derived("first", note, (Given(),))
    for _ in range(2_000):
        value = Derived("next", note, (value, value))

    assert evaluate(value, Saga(definition(step(0))).state) == b"x"
    assert len(calls) == 2_001


def test_a_fault_goes_through_whatever_is_derived_from_it():
    value = Derived("outer", echo, (Given(), constant(Fault("inner raised"))))

    assert evaluate(value, Saga(definition(step(0))).state) == Fault("inner raised")


# --- faults -------------------------------------------------------------------------------------


def breaking(encoded, broken):
    return lambda _: Fault("it raised") if broken else encoded


def test_a_step_whose_function_raises_waits_for_a_person_and_its_siblings_go_on():
    broken = [1]
    saga = Saga(
        definition(Parallel((step(0, function=breaking(b"do", broken)), step(1))), step(2))
    )

    assert names(saga.first) == "SagaStarted NodeFaulted StepRequested1"
    assert saga.state.stuck
    assert saga.state.consistency is Consistency.STUCK
    assert names(saga.succeed(1)) == "StepSucceeded1"
    assert names(saga.retry()) == "RetryOrdered NodeFaulted"
    broken.clear()
    assert names(saga.retry()) == "RetryOrdered StepRequested0"
    assert names(saga.succeed(0)) == "StepSucceeded0 StepRequested2"


def test_an_argument_that_raises_faults_its_step():
    saga = Saga(definition(step(0, arguments=(Given(), constant(Fault("argument raised"))))))

    assert saga.first[1] == (1, "argument raised")


def test_a_condition_that_raises_faults_its_choice():
    broken = [1]
    condition = Derived("condition", breaking(TRUE, broken), ())
    saga = Saga(definition(Choose(0, "condition", condition, step(0))))

    assert names(saga.first) == "SagaStarted NodeFaulted"
    broken.clear()
    assert names(saga.retry()) == "RetryOrdered BranchChosen StepRequested0"


def test_a_result_that_raises_keeps_the_saga_open_until_a_retry():
    broken = [1]
    saga = Saga(definition(step(0), result=Derived("result", breaking(b"r", broken), ())))

    assert names(saga.succeed(0)) == "StepSucceeded0 NodeFaulted"
    assert saga.state.faults == (0,)
    assert not saga.state.ended
    broken.clear()
    assert names(saga.retry()) == "RetryOrdered SagaEnded"


# --- starting -----------------------------------------------------------------------------------


def test_the_same_start_again_is_a_duplicate_and_another_a_conflict():
    saga = Saga(definition(step(0)))
    before = saga.state

    (duplicate,) = saga.feed(StartSaga(SAGA, "trip", 0, b"payload"))
    (conflict,) = saga.feed(StartSaga(SAGA, "trip", 0, b"another"))

    assert (duplicate.command, duplicate.reason) == ("start", "duplicate")
    assert (conflict.command, conflict.reason) == ("start", "conflict")
    assert saga.state == before._replace(sequence=before.sequence + 2)


def test_a_finished_saga_still_recognises_its_start():
    saga = Saga(definition(step(0)))
    saga.succeed(0)

    assert saga.feed(StartSaga(SAGA, "trip", 0, b"payload"))[0].reason == "duplicate"


def test_the_newest_version_is_no_other_content_than_its_number():
    saga = Saga(definition(step(0)))

    for version, reason in ((0, "duplicate"), (1, "duplicate"), (2, "conflict")):
        assert saga.feed(StartSaga(SAGA, "trip", version, b"payload"))[0].reason == reason


def test_the_digest_tells_definition_version_and_payload_apart():
    start = StartSaga(SAGA, "trip", 0, b"payload")
    others = [
        start_digest(start._replace(definition="tri"), 1),
        start_digest(start._replace(version=2), 1),
        start_digest(start._replace(payload=b""), 1),
    ]

    assert len(start_digest(start, 1)) == 8
    assert start_digest(start._replace(saga_id="other"), 1) == start_digest(start, 1)
    assert start_digest(start._replace(version=1), 1) == start_digest(start, 1)
    assert start_digest(start, 1) not in others


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (StartSaga(SAGA, "voyage", 0, b""), "unknown_definition"),
        (StartSaga(SAGA, "trip", 2, b""), "unknown_version"),
    ],
)
def test_a_start_of_what_the_program_does_not_have_is_rejected(start, reason):
    decision = decide(definition(step(0)), None, start, 0)

    assert (decision.events, decision.state) == ((), None)
    assert decision.rejection is not None
    assert decision.rejection.reason == reason
    assert decide(None, None, start, 0).rejection.reason == "unknown_definition"


def test_a_start_may_name_its_version():
    assert decide(definition(step(0)), None, StartSaga(SAGA, "trip", 1, b""), 0).events
