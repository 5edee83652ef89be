"""Contracts and steps that the typing tests share: a trip, and an order with a gift."""

# ruff: noqa: ARG001

from orchestrator import (
    Command,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    Retry,
    derive,
    minutes,
    saga,
    seconds,
    step,
)

flights, hotels, cards = Participant("flights"), Participant("hotels"), Participant("cards")
warehouse, gifts = Participant("warehouse"), Participant("gifts")


class Trip(Payload):
    passenger: str
    flight: str
    city: str
    price_cents: int


class SeatReserved(Payload):
    seat: str


class SoldOut(Payload):
    flight: str


class RoomReserved(Payload):
    room: str


class Charged(Payload):
    receipt: str


class Declined(Payload):
    reason: str


class Itinerary(Payload):
    seat: str
    room: str


class ReserveSeat(Command[SeatReserved, SoldOut], to=flights):
    flight: str
    passenger: str


class CancelSeat(Command[Done], to=flights):
    flight: str
    passenger: str


class ReserveRoom(Command[RoomReserved], to=hotels):
    city: str
    guest: str


class CancelRoom(Command[Done], to=hotels):
    city: str
    guest: str


class ChargeCard(Command[Charged, Declined | SoldOut], to=cards):
    amount_cents: int
    memo: str = ""


class Order(Payload):
    order_id: str
    gift: bool
    lines: tuple[str, ...] = ()


class StockReserved(Payload):
    shelf: str


class Wrapped(Payload):
    paper: str


class Approved(Payload):
    by: str


class ReserveStock(Command[StockReserved], to=warehouse):
    sku: str


class ReleaseStock(Command[Done], to=warehouse):
    sku: str


class WrapGift(Command[Wrapped], to=gifts):
    shelf: str


class UnwrapGift(Command[Done], to=gifts):
    shelf: str


@step(within=seconds(10), retry=Retry(attempts=3))
def reserve_seat(trip: Trip) -> ReserveSeat:
    return ReserveSeat(trip.flight, trip.passenger)


@reserve_seat.undo(within=seconds(10), retry=Retry.forever())
def cancel_seat(command: ReserveSeat, result: SeatReserved | None) -> CancelSeat:
    return CancelSeat(command.flight, command.passenger)


@step(within=seconds(10), retry=Retry(attempts=3))
def reserve_room(trip: Trip, seat: SeatReserved) -> ReserveRoom:
    return ReserveRoom(trip.city, trip.passenger)


@reserve_room.undo(within=seconds(10))
def cancel_room(command: ReserveRoom, result: RoomReserved | None) -> CancelRoom:
    return CancelRoom(command.city, command.guest)


@step(within=seconds(30), irreversible=True)
def charge_card(trip: Trip, seat: SeatReserved, room: RoomReserved) -> ChargeCard:
    return ChargeCard(trip.price_cents, f"seat {seat.seat}, room {room.room}")


@derive
def itinerary(seat: SeatReserved, room: RoomReserved) -> Itinerary:
    return Itinerary(seat.seat, room.room)


@saga(version=1, deadline=minutes(30))
def book_trip(flow: Flow, trip: Later[Trip]) -> Later[Itinerary]:
    """Reserve a seat and a room, then charge the card."""
    seat = flow.do(reserve_seat(trip))
    room = flow.do(reserve_room(trip, seat))
    flow.pivot(charge_card(trip, seat, room))
    return itinerary(seat, room)


@step(within=seconds(10))
def reserve_stock(order: Order) -> ReserveStock:
    return ReserveStock(order.order_id)


@reserve_stock.undo(within=seconds(10))
def release_stock(command: ReserveStock, result: StockReserved | None) -> ReleaseStock:
    return ReleaseStock(command.sku)


@step(within=seconds(10))
def reserve_line(line: str) -> ReserveStock:
    return ReserveStock(line)


@reserve_line.undo(within=seconds(10))
def release_line(command: ReserveStock, result: StockReserved | None) -> ReleaseStock:
    return ReleaseStock(command.sku)


@step(within=seconds(10))
def wrap_gift(order: Order, stock: StockReserved) -> WrapGift:
    return WrapGift(stock.shelf)


@wrap_gift.undo(within=seconds(10))
def unwrap_gift(command: WrapGift, result: Wrapped | None) -> UnwrapGift:
    return UnwrapGift(command.shelf)


@step(within=seconds(10), irreversible=True)
def label(order: Order, wrapped: Wrapped) -> WrapGift:
    return WrapGift(wrapped.paper)


@derive
def wants_gift(order: Order) -> bool:
    return order.gift


@derive
def lines_of(order: Order) -> tuple[str, ...]:
    return order.lines
