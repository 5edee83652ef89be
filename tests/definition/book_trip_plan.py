"""The trip of the documentation: contracts, steps and plan, as a user writes them."""

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


class ChargeCard(Command[Charged, Declined], to=cards):
    amount_cents: int
    memo: str


@step(within=seconds(10), retry=Retry(attempts=3))
def reserve_seat(trip: Trip) -> ReserveSeat:
    return ReserveSeat(trip.flight, trip.passenger)


@reserve_seat.undo(within=seconds(10), retry=Retry.forever())
def cancel_seat(command: ReserveSeat, result: SeatReserved | None) -> CancelSeat:
    return CancelSeat(command.flight, command.passenger)


@step(within=seconds(10), retry=Retry(attempts=3))
def reserve_room(trip: Trip) -> ReserveRoom:
    return ReserveRoom(trip.city, trip.passenger)


@reserve_room.undo(within=seconds(10), retry=Retry.forever())
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
    room = flow.do(reserve_room(trip))
    flow.pivot(charge_card(trip, seat, room))
    return itinerary(seat, room)


@ReserveSeat.handler
def on_reserve_seat(command: ReserveSeat) -> SeatReserved | SoldOut:
    return SeatReserved("12A") if command.flight == "LH1" else SoldOut(command.flight)
