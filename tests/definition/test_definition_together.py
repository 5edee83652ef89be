"""No mistake hides another: whatever stands together is told together, and nothing else is."""

from itertools import combinations

import pytest
from planted import LATE, PLANTS, expected_of, module_of, problems_of

from orchestrator.definition.check import CHECKS

ALONE = [(plant,) for plant in PLANTS]
PAIRS = [pair for pair in combinations(PLANTS, 2) if not pair[0].clashes(pair[1])]


def brief(problems):
    return [f"{problem.place}: {problem.code}" for problem in problems]


def told(path, *plants):
    text = module_of(*plants)
    return brief(problems_of(text, path)), expected_of(text, path.name, *plants)


@pytest.mark.parametrize("plants", ALONE, ids=lambda plants: plants[0].name)
def test_each_mistake_alone(plants, tmp_path):
    found, expected = told(tmp_path / "planted_one.py", *plants)
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_each_mistake_beside_each_other(plant, tmp_path):
    for pair in PAIRS:
        if pair[0] is plant:
            for number, both in enumerate((pair, pair[::-1])):
                name = f"planted_{pair[1].name.replace(' ', '_')}_{number}.py"
                found, expected = told(tmp_path / name, *both)
                assert sorted(found) == sorted(expected), pair


def test_every_mistake_in_one_module(tmp_path):
    path = tmp_path / "planted_all.py"
    text = module_of(*PLANTS)
    problems = problems_of(text, path)
    assert sorted(brief(problems)) == sorted(expected_of(text, path.name, *PLANTS))
    places = [(problem.place, problem.code) for problem in problems]
    assert places == sorted(places)
    assert len(set(problems)) == len(problems)
    assert all(problem.text and problem.cure for problem in problems)
    assert all(problem.place.line > 0 for problem in problems)


def test_every_code_of_the_build_is_planted():
    planted = {plant.name.partition(" ")[0] for plant in PLANTS}
    assert set(CHECKS) <= planted
    assert not planted & set(LATE)
