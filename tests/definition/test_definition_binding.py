"""Binding: functions of payloads become total functions of bytes."""

# ruff: noqa: ARG001, ARG002

import pickle
from dataclasses import dataclass

import pytest
from book_trip_plan import (
    CancelSeat,
    ChargeCard,
    Itinerary,
    ReserveSeat,
    RoomReserved,
    SeatReserved,
    Trip,
    book_trip,
    reserve_seat,
)
from plans import (
    Order,
    ReserveStock,
    Shipped,
    StockReserved,
    Wrapped,
    hold_money,
    reserve_stock,
    ship,
    wants_gift,
    wrap_gift,
)

from orchestrator import Flow, Later, Payload, block, derive, hours, saga, seconds, step
from orchestrator.codec.payloads import AvroPayloads
from orchestrator.core.definition import TRUE, Chosen, Derived, Fault, Given, Result
from orchestrator.definition.binding import Memory, bind, pure_of
from orchestrator.errors import Retriable

ADA = Trip("Ada", "LH1", "Rome", 90_000)
ORDER = Order("o1", 900, gift=True, lines=("a", "b"))
plan = saga(version=1, deadline=hours(1))


@dataclass(frozen=True)
class Pickled:
    """A codec for tests: refuses what is not of the type it is told."""

    def encode(self, value, kind, /):
        assert isinstance(kind, type), kind
        assert isinstance(value, kind)
        return TRUE if value is True else pickle.dumps(value)

    def decode(self, data, kind, /):
        value = True if data == TRUE else pickle.loads(data)
        assert isinstance(value, kind), f"{value} is no {kind}"
        return value


CODEC = Pickled()


def enc(value):
    return CODEC.encode(value, type(value))


def worth(value, given, results, decisions=()):
    """What the core does to a value."""
    match value:
        case Given():
            return given
        case Result():
            return results.get(value.step)
        case Chosen():
            branch = (value.then, value.otherwise)[decisions[value.decision] - 1]
            return None if branch is None else worth(branch, given, results, decisions)
        case Derived():
            return value.function(
                tuple(worth(v, given, results, decisions) for v in value.arguments)
            )


def test_a_step_gives_its_encoded_command():
    tree = book_trip.bind(CODEC)
    assert tree.steps[0].function((enc(ADA),)) == enc(ReserveSeat("LH1", "Ada"))
    seat, room = enc(SeatReserved("12A")), enc(RoomReserved("7"))
    assert tree.steps[2].function((enc(ADA), seat, room)) == enc(
        ChargeCard(90_000, "seat 12A, room 7")
    )
    assert worth(tree.result, enc(ADA), {0: seat, 1: room}) == enc(Itinerary("12A", "7"))


def test_an_undo_takes_a_result_or_none():
    undo = book_trip.bind(CODEC).steps[0].undo.function
    command = enc(ReserveSeat("LH1", "Ada"))
    assert undo((command, enc(SeatReserved("12A")))) == enc(CancelSeat("LH1", "Ada"))
    assert undo((command, None)) == enc(CancelSeat("LH1", "Ada"))


def test_binding_changes_nothing_but_the_functions():
    built, bound = book_trip.build(), book_trip.bind(CODEC)
    assert bound.fingerprint == built.fingerprint
    assert [step.id for step in bound.steps] == [step.id for step in built.steps]
    assert pure_of(bound.steps[0].function) is built.steps[0].function
    assert bind(book_trip.build(), CODEC) == bound


def test_a_step_function_is_still_a_plain_function():
    assert reserve_seat.command(ADA) == ReserveSeat("LH1", "Ada")


def test_without_a_codec_nothing_runs():
    assert book_trip.build().steps[0].function((b"",)) == Fault(
        "`reserve_seat` is not bound to a codec (1 arguments)"
    )


def faults(function, data):
    """The fault of a one-step saga whose step is `function`."""
    one = step(within=seconds(1), irreversible=True)(function)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    found = p.bind(CODEC).steps[0].function((data,))
    assert isinstance(found, Fault)
    return found.text


def test_what_a_function_raises_is_a_fault():
    def divide(order: Order) -> ReserveStock:
        return ReserveStock(str(1 // 0))

    line = divide.__code__.co_firstlineno + 1
    assert faults(divide, enc(ORDER)) == (
        "`divide` raised ZeroDivisionError: integer division or modulo by zero "
        f"(test_definition_binding.py:{line})"
    )


def test_what_a_function_gives_is_checked():
    def careless(order: Order) -> ReserveStock:
        return None

    def other(order: Order) -> ReserveStock:
        return Wrapped("")

    assert faults(careless, enc(ORDER)) == "`careless` gave a NoneType, not a ReserveStock"
    assert faults(other, enc(ORDER)) == "`other` gave a Wrapped, not a ReserveStock"


def test_bytes_that_cannot_be_read_are_a_fault():
    def reserve(order: Order) -> ReserveStock:
        return ReserveStock("")

    assert faults(reserve, b"\xff").startswith("`reserve` cannot read its Order: UnpicklingError")


def test_a_value_that_cannot_be_sent_is_a_fault():
    def unsendable(order: Order) -> ReserveStock:
        return ReserveStock(lambda: None)

    text = faults(unsendable, enc(ORDER))
    assert text.startswith("`unsendable` gave what cannot be sent: ")


@pytest.mark.parametrize(
    "error", [SystemExit(3), RecursionError(), MemoryError(), StopIteration()]
)
def test_no_exception_gets_through(error):
    def hostile(order: Order) -> ReserveStock:
        raise error

    assert faults(hostile, enc(ORDER)).startswith(f"`hostile` raised {type(error).__name__}: ")


def test_conditions_are_what_the_core_compares():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.when(wants_gift(order), hold_money(order))

    condition = p.bind(CODEC).root.children[0].condition
    assert worth(condition, enc(ORDER), {}) == TRUE
    assert worth(condition, enc(Order("o2", 1, gift=False)), {}) != TRUE


@derive
def which(one: Wrapped | StockReserved | None) -> StockReserved | Wrapped:
    return one or StockReserved("none")


@derive
def say(one: Wrapped | StockReserved | Shipped | None) -> str:
    return repr(one)


@derive
def some(order: Order) -> Wrapped | None:
    return Wrapped(order.order_id) if order.gift else None


def test_a_choice_of_two_types_keeps_them_apart():
    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[StockReserved | None]:
        stock = flow.do(reserve_stock(order))
        either = flow.choose(
            wants_gift(order), wrap_gift(stock), reserve_stock.named("again")(order)
        )
        widest = flow.choose(
            wants_gift(order), shown(either), ship.named("fly")(stock, some(order))
        )
        text = say(widest)
        note(text)
        return flow.when(wants_gift(order), reserve_stock.named("third")(order))

    texts = []

    def note(text):
        texts.append(text)

    @block
    def shown(
        flow: Flow, either: Later[Wrapped | StockReserved]
    ) -> Later[StockReserved | Wrapped]:
        return which(either)

    tree = p.bind(CODEC)
    results = {1: enc(Wrapped("stars")), 2: enc(StockReserved("s2")), 3: enc(Shipped("p1"))}
    # The plan's value for `say` is not in the tree, so it is bound on its own.
    from orchestrator.definition.binding import _Binder  # noqa: PLC0415
    from orchestrator.definition.later import made_of  # noqa: PLC0415

    value = _Binder(CODEC).value(made_of(texts[-1]).value)
    seen = {
        (one, two): pickle.loads(worth(value, enc(ORDER), results, (one, two)))
        for one in (1, 2)
        for two in (1, 2)
    }
    assert seen == {
        (1, 1): "Wrapped(paper='stars')",
        (2, 1): "StockReserved(shelf='s2')",
        (1, 2): "Shipped(parcel='p1')",
        (2, 2): "Shipped(parcel='p1')",
    }
    assert worth(tree.result, enc(ORDER), {4: enc(StockReserved("s4"))}, (1, 1, 2)) is None


def test_a_derived_value_may_be_absent():
    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[Wrapped | None]:
        flow.do(reserve_stock(order))
        return some(order)

    result = p.bind(CODEC).result
    assert worth(result, enc(Order("o2", 1, gift=False)), {}) is None
    assert worth(result, enc(ORDER), {}) == enc(Wrapped("o1"))


@derive
def longer(text: str) -> str:
    return text + "!"


@derive
def start(order: Order) -> str:
    return order.order_id


@step(within=seconds(1), irreversible=True)
def shout(text: str) -> ReserveStock:
    return ReserveStock(text)


def test_values_may_be_derived_from_each_other_deeply():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        text = start(order)
        for _ in range(3_000):
            text = longer(text)
        flow.do(shout(text))

    drawn = p.sketch()
    from orchestrator.definition.freeze import freeze  # noqa: PLC0415  # past SG302, on purpose

    tree = bind(freeze(drawn), CODEC)
    value, steps = tree.steps[0].arguments[0], 0
    while isinstance(value, Derived):
        value, steps = value.arguments[0], steps + 1
    assert steps == 3_001


def test_one_value_stays_one_value():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        text = start(order)
        flow.do(shout(text))
        flow.do(shout.named("again")(text))

    one, two = p.bind(CODEC).steps
    assert one.arguments[0] is two.arguments[0]


@step(within=seconds(1), irreversible=True)
def whatever(order: Order | None) -> ReserveStock:
    return ReserveStock("")


@plan
def constant(flow: Flow, order: Later[Order]) -> None:
    flow.do(whatever(order))


class Away(Pickled):
    def decode(self, data, kind, /):
        raise Retriable("the registry is away")

    def encode(self, value, kind, /):
        raise Retriable("the registry is away")


def test_a_codec_that_cannot_work_just_now_is_no_fault_of_the_saga():
    with pytest.raises(Retriable):
        book_trip.bind(Away()).steps[0].function((enc(ADA),))
    with pytest.raises(Retriable):
        constant.bind(Away()).steps[0].function((None,))


def test_the_real_codec_fits():
    codec = AvroPayloads()
    tree = book_trip.bind(codec)
    data = tree.steps[0].function((codec.encode(ADA, Trip),))
    assert codec.decode(data, ReserveSeat) == ReserveSeat("LH1", "Ada")
    assert codec.encode(True, bool) == TRUE


class Loose(Payload):
    prices: dict[str, int]


class Firm(Payload):
    seats: tuple[str, ...]


def test_what_can_be_changed_is_decoded_anew_for_each_reader():
    memory = Memory(CODEC)
    loose = CODEC.encode(Loose({"a": 1}), Loose)
    firm = CODEC.encode(Firm(("1A",)), Firm)
    assert memory.reader(Firm)(firm) is memory.reader(Firm)(firm)
    assert memory.reader(Loose)(loose) is not memory.reader(Loose)(loose)
    assert memory.reader(Loose | None)(loose) is not memory.reader(Loose | None)(loose)
