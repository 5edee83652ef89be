"""No mistake hides another: whatever stands together is told together, and nothing else is."""

from itertools import combinations

import pytest
from planted import LATE, PLANTS, PROLOGUE, expected_of, module_of, problems_of

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
    for number, pair in enumerate(PAIRS):
        if pair[0] is plant:
            both = pair if number % 2 else pair[::-1]
            found, expected = told(tmp_path / f"planted_{number}.py", *both)
            assert sorted(found) == sorted(expected), [one.name for one in both]


@pytest.mark.parametrize("turn", [1, -1])
def test_every_mistake_in_one_module(turn, tmp_path):
    path, plants = tmp_path / "planted_all.py", PLANTS[::turn]
    text = module_of(*plants)
    problems = problems_of(text, path)
    assert sorted(brief(problems)) == sorted(expected_of(text, path.name, *plants))
    places = [(problem.place, problem.code) for problem in problems]
    assert places == sorted(places)
    assert len(set(problems)) == len(problems)
    assert all(problem.text and problem.cure for problem in problems)
    assert all(problem.place.line > 0 for problem in problems)


def test_every_code_of_the_build_is_planted():
    planted = {plant.name.partition(" ")[0] for plant in PLANTS}
    assert set(CHECKS) <= planted
    assert not planted & set(LATE)


TWICE = """
import time

@step(**STRICT)  # SG502 SG305
def unread(order, more: "Nowhere") -> HoldMoney:
    return HoldMoney(random.randint(1, 2) + int(time.time()))

@step(within=seconds(1), retry=Retry(attempts=0, first=-seconds(1), factor=0))  # SG508 SG508 SG508
def hasty(order: Order) -> HoldMoney:
    return HoldMoney(1)

@hasty.undo(within=seconds(0))  # SG203 SG203 SG508
def undo_hasty(command: Parcel, result: Wrapped) -> FreeMoney:
    return FreeMoney(1)

class Torn(Payload):  # SG501 SG501
    unknown: "Nowhere"
    at: datetime

@derive
def torn(order: Order) -> Torn:
    return Torn("", datetime(2020, 1, 1))

@plan
def p(flow: Flow, order: Later[Order]) -> None:
    flow.do(unread(order, torn(order)))
    flow.do(hasty(order))
"""


def test_several_mistakes_of_one_code_at_one_place(tmp_path):
    text = PROLOGUE + TWICE
    problems = problems_of(text, tmp_path / "planted_twice.py")
    assert sorted(brief(problems)) == sorted(expected_of(text, "planted_twice.py"))
    said = "\n".join(map(str, problems))
    assert "no annotation" in said
    assert "Nowhere" in said
    assert "uses `random` and `time`" in said
