"""Building: from a plan to the tree that the core runs."""

import pickle

import book_trip_plan
from book_trip_plan import book_trip
from plans import Order, Wrapped, hold_money, reserve_stock, ship, wants_gift, wrap_gift

from orchestrator import Flow, Later, block, check, days, saga
from orchestrator.core.definition import Choose, Chosen, Given, Parallel, Result, Sequence, Step
from orchestrator.definition.saga import sagas_of


def test_the_trip_becomes_a_sequence_of_three_steps():
    tree = book_trip.build()
    assert [step.id for step in tree.steps] == ["reserve_seat", "reserve_room", "charge_card"]
    assert [step.participant for step in tree.steps] == ["flights", "hotels", "cards"]
    assert [step.pivot for step in tree.steps] == [False, False, True]
    assert [step.undo and step.undo.command_type for step in tree.steps] == [
        "CancelSeat",
        "CancelRoom",
        None,
    ]
    assert tree.steps[2].arguments == (Given(), Result(0), Result(1))
    assert tree.doc == "Reserve a seat and a room, then charge the card."
    assert tree.deadline_ms == 1_800_000
    assert tree.input_type == "Trip"


def test_the_trip_has_no_problem():
    assert check(book_trip) == ()


def test_building_twice_gives_one_tree():
    assert book_trip.build() is book_trip.build()


def test_every_construct_has_its_node():
    @block
    def gift(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
        stock = flow.do(reserve_stock(order))
        return flow.do(wrap_gift(stock))

    @saga(version=3, deadline=days(3))
    def fulfil(flow: Flow, order: Later[Order]) -> None:
        stock, _held = flow.parallel(reserve_stock(order), hold_money(order))
        wrapped = flow.when(wants_gift(order), gift(order))
        flow.choose(
            wants_gift(order),
            hold_money.named("once_more")(order),
            hold_money.named("again")(order),
        )
        flow.pivot(ship(stock, wrapped))
        flow.do(wrap_gift(stock))

    tree = fulfil.build()
    both, gifts, either, shipping, after = tree.root.children
    assert isinstance(both, Parallel)
    assert isinstance(gifts, Choose)
    assert gifts.otherwise is None
    assert isinstance(gifts.then, Sequence)
    assert gifts.then.name == "gift"
    assert [child.id for child in gifts.then.children] == ["gift.reserve_stock", "gift.wrap_gift"]
    assert isinstance(either, Choose)
    assert (gifts.decision, either.decision) == (0, 1)
    assert [either.then.id, either.otherwise.id] == ["once_more", "again"]
    assert isinstance(shipping, Step)
    assert shipping.pivot
    assert shipping.arguments == (Result(0), Chosen(0, Result(3), None))
    assert after.after_pivot
    assert after.retry.attempts_max is None
    assert [step.index for step in tree.steps] == list(range(8))
    assert tree.result is None


def test_a_module_s_sagas_are_found_by_looking():
    assert sagas_of(book_trip_plan) == (book_trip,)


def test_payloads_are_values():
    seat = book_trip_plan.SeatReserved("12A")
    assert seat == book_trip_plan.SeatReserved(seat="12A")
    assert pickle.loads(pickle.dumps(seat)) == seat
