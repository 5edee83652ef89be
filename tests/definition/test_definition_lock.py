"""saga.lock: a round trip, and every way in which a program can leave it behind."""

# ruff: noqa: ISC004

import importlib.util
import json

import pytest
from book_trip_plan import book_trip

from orchestrator import DefinitionError
from orchestrator.definition.lock import compare, lock_text, locked, read_lock, write_lock

MODULE = '''
from plans import *
from orchestrator import *

@step(within=seconds({within}), irreversible=True{id})
def {name}(order: Order) -> ReserveStock:
    """Reserve."""
    return ReserveStock(order.{body})

@derive
def paper(order: Order) -> StockReserved:
    return StockReserved("")

@saga(version={version}, deadline=hours(1))
def fulfil(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
    flow.do({name}(order))
    {more}
    return paper(order)
'''
DEFAULTS = {
    "within": 10,
    "id": "",
    "name": "take",
    "body": "order_id",
    "version": 1,
    "more": "",
}


@pytest.fixture
def program(tmp_path):
    def load(**changes):
        path = tmp_path / f"program_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(MODULE.format_map({**DEFAULTS, **changes}))
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.fulfil

    return load


def known(*sagas):
    return {(saga.id, saga.version): locked(saga) for saga in sagas}


def texts(problems):
    return [str(problem).partition(": ")[2] for problem in problems]


def test_the_lock_survives_its_file(tmp_path, program):
    path = tmp_path / "saga.lock"
    write_lock(path, [program(), book_trip])
    assert read_lock(path) == known(program(), book_trip)
    assert compare(read_lock(path), [book_trip, program()]) == ()
    assert path.read_text() == lock_text([book_trip, program()])


def test_the_lock_is_made_for_reading():
    found = json.loads(lock_text([book_trip]))["sagas"]["book_trip"]["1"]
    assert found["steps"] == ["reserve_seat", "reserve_room", "charge_card"]
    assert (
        "pivot charge_card(given, reserve_seat, reserve_room) -> cards.ChargeCard"
        in found["shape"]
    )
    assert found["bodies"].keys() == {
        "cancel_room",
        "cancel_seat",
        "charge_card",
        "itinerary",
        "reserve_room",
        "reserve_seat",
    }
    assert len(found["fingerprint"]) == 16


def test_a_renamed_step(program):
    old = known(program())
    assert texts(compare(old, [program(name="grab")])) == [
        "SG401 saga.lock knows step `take` of fulfil v1; the code has `grab` instead. "
        'Cure: `@step(id="take", ...)` if it was only renamed, else `version=2`.'
    ]
    assert compare(old, [program(name="grab", id=', id="take"')]) == ()


def test_a_step_that_is_gone(program):
    old = known(program(more="flow.do(hold_money(order))"))
    assert texts(compare(old, [program()])) == [
        "SG401 saga.lock knows step `hold_money` of fulfil v1; the code has it no more. "
        'Cure: `@step(id="hold_money", ...)` if it was only renamed, else `version=2`.'
    ]


def test_another_shape(program):
    [problem] = compare(known(program()), [program(within=20)])
    assert str(problem).partition(": ")[2] == (
        "SG402 fulfil v1 has changed its shape since it was released. Cure: keep the released "
        'function under another name with `id="fulfil"`, and make this one `version=2, follows=` it. '
        "The difference:\n"
        " step take(given) -> warehouse.ReserveStock\n"
        "-  within 10000 ms, 5 attempts, pause 1000 ms x 2 up to 60000 ms\n"
        "+  within 20000 ms, 5 attempts, pause 1000 ms x 2 up to 60000 ms\n"
        " result paper(given): StockReserved."
    )
    assert compare(known(program()), [program(within=20, version=2), program()]) == ()


def test_a_version_that_is_gone(program):
    old = known(program())
    new = [program(version=2)]
    assert texts(compare(old, new)) == [
        "SG403 (warning) fulfil v1 is locked and is not in this program. "
        "Cure: keep it while sagas of it are in flight, then `saga lock`."
    ]
    assert texts(compare(old, new, in_flight={("fulfil", 1): 7})) == [
        "SG403 fulfil v1 still has 7 sagas in flight and is not in this program. Cure: keep it."
    ]
    assert compare(old, new, in_flight={}) == ()


def test_another_body_is_a_warning(program):
    assert texts(compare(known(program()), [program(body="gift")])) == [
        "SG404 (warning) the body of `take` changed under v1: open sagas will run the new one. "
        "Cure: `version=2` if they must not, else `saga lock`."
    ]


def test_a_saga_that_was_never_locked_is_no_problem(program):
    assert compare({}, [program()]) == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 9, "sagas": {}}', '{"format": 1}'])
def test_what_is_no_lock_file(tmp_path, text):
    path = tmp_path / "saga.lock"
    path.write_text(text)
    with pytest.raises(DefinitionError, match="SG400 this is no lock file of this version"):
        read_lock(path)


def test_no_lock_file_at_all(tmp_path):
    with pytest.raises(DefinitionError, match="SG400 the lock file cannot be read: No such file"):
        read_lock(tmp_path / "saga.lock")


def test_a_renamed_step_does_not_hide_another_shape(program):
    found = compare(known(program()), [program(name="grab", within=20)])
    assert [problem.code for problem in found] == ["SG401", "SG402"]
    assert "-  within 10000 ms" in found[1].cure
    assert "grab" not in found[1].cure


def test_mistakes_of_a_definition_do_not_hide_what_the_lock_says(program):
    changes = {"name": "grab", "body": "lines[0]", "more": "hold_money(order)"}
    changed = program(**changes, id=', id="grasp"')
    assert [problem.code for problem in changed.problems()] == ["SG205"]
    found = compare({**known(program()), **known(book_trip)}, [changed])
    assert sorted(problem.code for problem in found) == ["SG401", "SG403"]
    same_name = program(body="lines[0]", more="hold_money(order)")
    assert [problem.code for problem in compare(known(program()), [same_name])] == ["SG404"]


def test_a_step_that_a_mistake_keeps_out_is_not_lost(program):
    broken = program(more="flow.do(hold_money(order, 1))")
    old = known(program(more="flow.do(hold_money(order))"))
    assert [problem.code for problem in broken.problems()] == ["SG300"]
    assert compare(old, [broken]) == ()
