"""Ids, and what a definition computes about itself."""

import pytest
from core_definitions import definition, step, undo, when

from orchestrator.core.definition import Parallel, Position, Sequence
from orchestrator.core.ids import Direction, EffectId, is_id, parse_effect_id


@pytest.mark.parametrize("text", ["a", "A-1_b.c", "x" * 128])
def test_these_are_ids(text):
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a/b", "a b", "ä", "a\n"])
def test_these_are_not(text):
    assert not is_id(text)


def test_an_effect_id_reads_back():
    effect = EffectId("saga-1", "gift.wrap[3]", Direction.UNDO.value, 12)

    assert str(effect) == "saga-1/gift.wrap[3]/undo/12"
    assert parse_effect_id(str(effect)) == effect
    assert effect.operation == "saga-1/gift.wrap[3]/undo"


@pytest.mark.parametrize("text", ["", "a/b/do", "a/b/up/1", "a/b/do/0", "a/b/do/01", "a/b/do/1\n"])
def test_other_texts_are_no_effect_ids(text):
    assert parse_effect_id(text) is None


def test_a_definition_numbers_its_nodes_in_text_order():
    first, second, third = step(0, pivot=True), step(1, undo=None), step(2, undo=undo(5))
    trip = definition(first, Parallel((Sequence((second,)), when(0, True, third))))

    kinds = [type(node).__name__ for node in trip.nodes]
    assert kinds == ["Sequence", "Step", "Parallel", "Sequence", "Step", "Choose", "Step"]
    assert trip.positions[0] == Position(-1, 0)
    assert trip.positions[6] == Position(5, 0)
    assert trip.children == ((1, 2), (), (3, 5), (4,), (), (6,), ())
    assert trip.step_nodes == (1, 4, 6)
    assert trip.steps == (first, second, third)
    assert trip.places == {"s0": 0, "s1": 1, "s2": 2}
    assert trip.pivot is first
    assert trip.decisions_count == 1
    assert trip.participants == {"p0", "p1", "p2", "p5"}
    assert definition(second).pivot is None
