"""Properties over random definitions and random worlds. See `core_simulator` for what is checked."""

from random import Random
from typing import get_type_hints

import pytest
from core_checkers import Violation, check_order, check_sequence, check_terminal
from core_definitions import definition, random_program, step
from core_simulator import SAGA, Simulation, simulate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.core import events as ev
from orchestrator.core.commands import ReplyOutcome, ReplyReceived, StartSaga, TimerFired
from orchestrator.core.decide import decide
from orchestrator.core.evolve import evolve
from orchestrator.core.ids import parse_effect_id
from orchestrator.core.log import fold
from orchestrator.core.state import Phase
from orchestrator.errors import StateError

SETTINGS = settings(
    derandomize=True,
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@SETTINGS
@given(grower=st.randoms(use_true_random=False), seed=st.integers(0, 2**32))
def test_every_saga_keeps_its_promises_and_ends(grower, seed):
    simulate(Random(seed), random_program(grower))


@SETTINGS
@given(
    seed=st.integers(0, 2**32),
    phase=st.sampled_from(Phase),
    events=st.lists(st.sampled_from(sorted(ev.EVENT_NUMBERS, key=ev.EVENT_NUMBERS.get))),
    place=st.integers(-2, 12),
)
def test_an_event_is_folded_or_refused_and_never_half_done(seed, phase, events, place):
    simulation = Simulation(random_program(Random(seed)), Random(seed))
    state = decide(simulation.definition, None, start(simulation), 1_000).state
    for kind in events:
        event = kind(*(filler(kind, name, phase, place) for name in kind._fields))
        before, copy = state, state and tuple(state)
        try:
            state = evolve(state, event)
        except StateError:
            assert state is before
        else:
            assert state is None or state.sequence == (before.sequence if before else 0) + 1
        assert copy == (before and tuple(before))


def start(simulation):
    return StartSaga(SAGA, simulation.definition.name, 0, b"payload")


def filler(kind, name, phase, place):
    numbers = {"step": place, "decision": place, "phase": phase, "steps_count": 3}
    if name in numbers:
        return numbers[name]
    return {int: 1, str: "text", bytes: b"bytes", bool: True}[get_type_hints(kind)[name]]


@SETTINGS
@given(seed=st.integers(0, 2**32), split=st.integers(0, 200))
def test_a_log_can_be_folded_in_two_parts_anywhere(seed, split):
    simulation = simulate(Random(seed))
    events = [event for transition in simulation.log for event in transition]

    assert fold(events[split:], fold(events[:split])) is None


def test_effect_ids_are_unique_and_can_be_read_back():
    sent = [effect for seed in range(50) for effect in simulate(Random(seed)).sent]

    assert all(parse_effect_id(effect) is not None for effect in sent)


def test_the_random_worlds_reach_every_event_and_every_end():
    reached, ends = set(), set()
    for seed in range(400):
        simulation = simulate(Random(seed))
        reached.update(type(event) for events in simulation.log for event in events)
        ends.update((end.phase, end.consistency) for end in simulation.outcomes)

    assert set(ev.EVENT_NUMBERS) - reached == {ev.TimerIgnored}
    assert len(ends) == 6


def test_the_same_seed_gives_the_same_saga():
    assert simulate(Random(7)).log == simulate(Random(7)).log


# --- the checkers themselves bite ---------------------------------------------------------------


def test_the_sequence_checker_bites():
    check_sequence([(2, 2), (3, 1)])
    for wrong in ([(1, 2)], [(2, 2), (2, 1)], [(2, 2), (4, 1)]):
        with pytest.raises(Violation, match="I7"):
            check_sequence(wrong)


def test_the_terminal_checker_bites():
    ended = ev.SagaEnded(Phase.COMPLETED, 1, 9, b"")
    check_terminal([(ended,), (ev.ReplyIgnored(0, "do", 1, "finished"),)])
    with pytest.raises(Violation, match="I6"):
        check_terminal([(ended, ev.StepSucceeded(0, 1, False, b""))])
    with pytest.raises(Violation, match="I6"):
        check_terminal([(ended,), (ended,)])


def test_the_order_checker_bites_on_a_log_in_the_wrong_order():
    trip = definition(step(0), step(1), step(2))
    state, log = None, []
    for command in (
        start(Simulation(random_program(Random(0)), Random(0)))._replace(definition="trip"),
        *(ReplyReceived(SAGA, f"s{n}", "do", 1, OUTCOMES[n], b"", "", f"p{n}") for n in range(3)),
    ):
        decision = decide(trip, state, command, 1_000)
        state = decision.state
        log.append(decision.events)
    check_order(trip, log)
    *_, requested = log[-1]
    early = requested._replace(step=0, step_id="s0")
    with pytest.raises(Violation, match="before the undo of node 2"):
        check_order(trip, [*log[:-1], (*log[-1][:-1], early)])
    with pytest.raises(Violation, match="is forgotten"):
        check_order(trip, [*log[:-1], log[-1][:-1]])


OUTCOMES = (ReplyOutcome.SUCCEEDED, ReplyOutcome.SUCCEEDED, ReplyOutcome.FAILED)


def test_a_stale_timer_is_never_acted_on():
    simulation = Simulation(random_program(Random(3)), Random(3))
    state = decide(simulation.definition, None, start(simulation), 1_000).state

    stale = TimerFired(SAGA, 0, state.steps[0].due_ms + 1)
    assert decide(simulation.definition, state, stale, 10**15) == ((), state, None)
