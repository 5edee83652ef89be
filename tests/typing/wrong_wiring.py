"""Planted mistakes. `# M..`: both checkers reject the line (the table in test_typing.py names the
exceptions); `# SG...`: the build reports it at that line. Nothing else is reported anywhere.
"""

# ruff: noqa: ARG001, F821, F841, RET504, RUF059

from typing_shop import (
    Approved,
    CancelRoom,
    CancelSeat,
    Charged,
    Order,
    ReserveRoom,
    ReserveSeat,
    RoomReserved,
    SeatReserved,
    SoldOut,
    StockReserved,
    Trip,
    UnwrapGift,
    WrapGift,
    Wrapped,
    book_trip,
    charge_card,
    label,
    lines_of,
    reserve_line,
    reserve_room,
    reserve_seat,
    reserve_stock,
    wants_gift,
    wrap_gift,
)

from orchestrator import Command, Done, Flow, Later, block, derive, saga, seconds, step


@step(within=seconds(5))
def seat_2(trip: Trip) -> ReserveSeat:
    return ReserveSeat("", "")


@seat_2.undo(within=seconds(5))  # M2 SG203
def seat_2_undo(command: ReserveRoom, result: SeatReserved | None) -> CancelRoom:
    return CancelRoom("", "")


@step(within=seconds(5))
def wrap_2(order: Order, stock: StockReserved) -> WrapGift:
    return WrapGift(stock.shelf)


@wrap_2.undo(within=seconds(5))  # M3 SG203
def wrap_2_undo(command: WrapGift, result: Wrapped) -> UnwrapGift:
    return UnwrapGift(result.paper)


@step(within=seconds(5), irreversible=True)  # M12 SG503
def not_a_command(trip: Trip) -> str:
    return "x"


@ReserveSeat.handler  # M13
def on_seat(command: ReserveSeat) -> RoomReserved:
    return RoomReserved("1")


@ReserveRoom.handler  # M13
def on_room(command: ReserveSeat) -> RoomReserved:
    return RoomReserved("1")


@CancelSeat.handler  # M13
def on_cancel(command: CancelSeat) -> Done | SoldOut:
    return Done()


def m23() -> None:
    class NoParticipant(Command[Done]):  # M23
        city: str


@saga(version=1, deadline=seconds(60))
def declarations(flow: Flow, trip: Later[Trip]) -> None:
    flow.do(seat_2(trip))
    flow.do(not_a_command(trip))  # M12b


@saga(version=1, deadline=seconds(60))
def declarations_2(flow: Flow, order: Later[Order]) -> None:
    stock = flow.do(reserve_stock(order))
    flow.do(wrap_2(order, stock))


@saga(version=1, deadline=seconds(60))
def m1(flow: Flow, trip: Later[Trip]) -> Later[Charged]:
    seat = flow.do(reserve_seat(trip))
    room = flow.do(reserve_room(trip, seat))
    return flow.pivot(charge_card(trip, room, seat))  # M1 SG201


@saga(version=1, deadline=seconds(60))
def m4(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
    stock = flow.do(reserve_stock(order))
    wrapped = flow.when(wants_gift(order), wrap_gift(order, stock))
    return flow.do(label(order, wrapped))  # M4 SG202


@saga(version=1, deadline=seconds(60))
def m5(flow: Flow, trip: Later[Trip]) -> Later[SeatReserved]:
    flow.do(reserve_room(trip, seat))  # M5 SG300
    seat = flow.do(reserve_seat(trip))
    return seat


@saga(version=1, deadline=seconds(60))
def m6(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
    stock, wrapped = flow.parallel(reserve_stock(order), wrap_gift(order, stock))  # M6 SG300
    return wrapped


@saga(version=1, deadline=seconds(60))
def m6b(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
    one = reserve_stock(order)
    two = wrap_gift(order, one)  # M6b SG208
    _, wrapped = flow.parallel(one, two)
    return wrapped


def m7() -> object:
    return book_trip.given(Order("1", False))  # M7


@step(within=seconds(5))
def no_undo(trip: Trip) -> ReserveSeat:
    return ReserveSeat("", "")


@saga(version=1, deadline=seconds(60))
def m8(flow: Flow, trip: Later[Trip]) -> Later[Charged]:
    seat = flow.do(no_undo(trip))  # SG101
    room = flow.do(reserve_room(trip, seat))
    return flow.pivot(charge_card(trip, seat, room))


@saga(version=1, deadline=seconds(60))
def m9(flow: Flow, order: Later[Order]) -> None:
    if order.gift:  # M9 SG301
        flow.do(reserve_stock(order))


@saga(version=1, deadline=seconds(60))
def m9b(flow: Flow, order: Later[Order]) -> None:
    stock = flow.do(reserve_stock(order))
    wrapped = flow.when(wants_gift(order), wrap_gift(order, stock))
    if wrapped is not None:  # M9b SG301
        flow.do(reserve_stock.named("again")(order))


@saga(version=1, deadline=seconds(60))
def m9c(flow: Flow, order: Later[Order]) -> None:
    if wants_gift(order):  # M9c SG301
        flow.do(reserve_stock(order))


@saga(version=1, deadline=seconds(60))
def m9d(flow: Flow, order: Later[Order]) -> None:
    for line in lines_of(order):  # M9d SG302
        flow.do(reserve_line(line))


@saga(version=1, deadline=seconds(60))
def m10(flow: Flow, order: Later[Order]) -> Later[Approved]:
    return flow.wait(Approved)  # M10 SG300


@saga(version=1, deadline=seconds(60))
def m11(flow: Flow, trip: Later[Trip]) -> Later[RoomReserved]:
    seat = flow.do(reserve_seat(trip))
    return flow.do(reserve_room(trip, seatt))  # M11 SG300


@saga(version=1, deadline=seconds(60))
def m14(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
    stock = flow.do(reserve_stock(order))
    inner = wrap_gift(order, stock)
    flow.when(wants_gift(order), inner)
    return flow.do(label(order, inner))  # M14 SG208


@saga(version=1, deadline=seconds(60))
def m15(flow: Flow, order: Later[Order]) -> None:
    reserve_stock(order)  # SG205


@saga(version=1, deadline=seconds(60))  # SG202
def m16(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
    stock = flow.do(reserve_stock(order))
    return flow.when(wants_gift(order), wrap_gift(order, stock))  # M16


@saga(version=1, deadline=seconds(60))
def m17(flow: Flow, order: Later[Order]) -> None:
    flow.do(reserve_stock(order))
    flow.do(reserve_stock(order))  # SG103


@saga(version=1, deadline=seconds(60))
def m18(flow: Flow, order: Later[Order]) -> None:
    flow.each(lines_of(order), reserve_stock, at_most=9)  # M18 SG001 SG201


@saga(version=1, deadline=seconds(60))
def m20(flow: Flow, order: Later[Order]) -> None:
    flow.do(book_trip(order))  # M20 SG001 SG201


@saga(version=1, deadline=seconds(60))
def m24(flow: Flow, order: Later[Order]) -> None:
    flow.do(reserve_stock(Order("1", False)))  # M24 SG209


@saga(version=1, deadline=seconds(60))
def m25(flow: Flow, order: Later[Order]) -> None:
    stock = flow.do(reserve_stock(order))
    flow.do(stock)  # M25 SG209


@saga(version=1, deadline=seconds(60))
def m26(flow: Flow, order: Later[Order]) -> None:
    flow.when(lines_of(order), reserve_stock(order))  # M26 SG201


@derive
def any_of(one: Wrapped | StockReserved) -> str:
    return "x"


@saga(version=1, deadline=seconds(60))  # SG201
def m27(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
    stock = flow.do(reserve_stock(order))
    either = flow.choose(wants_gift(order), wrap_gift(order, stock), reserve_line(any_of(stock)))
    return either  # M27


@block
def pack(flow: Flow, order: Later[Order], stock: Later[StockReserved]) -> Later[Wrapped]:
    return flow.do(wrap_gift(order, stock))


@saga(version=1, deadline=seconds(60))
def m28(flow: Flow, order: Later[Order]) -> None:
    flow.do(pack(order, order))  # M28 SG201
