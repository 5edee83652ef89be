"""A program for the worker's system tests: three steps, quick time limits, two ways to fail."""

from __future__ import annotations

from orchestrator import (
    Command,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    Retry,
    minutes,
    saga,
    seconds,
    step,
)

seats = Participant("tripseats")
rooms = Participant("triprooms")
cards = Participant("tripcards")


class Trip(Payload):
    traveller: str
    cents: int


class Reserved(Payload):
    reference: str


class Taken(Payload):
    reason: str


class ReserveSeat(Command[Reserved, Taken], to=seats):
    traveller: str


class FreeSeat(Command[Done], to=seats):
    traveller: str


class ReserveRoom(Command[Reserved, Taken], to=rooms):
    traveller: str


class FreeRoom(Command[Done], to=rooms):
    traveller: str


class Charge(Command[Reserved, Taken], to=cards):
    traveller: str
    cents: int
    seat: str


class Refund(Command[Done], to=cards):
    traveller: str


QUICK = Retry(attempts=3)


@step(within=seconds(2), retry=QUICK)
def seat(trip: Trip) -> ReserveSeat:
    return ReserveSeat(trip.traveller)


@seat.undo(within=seconds(2))
def free_seat(command: ReserveSeat, _: Reserved | None) -> FreeSeat:
    return FreeSeat(command.traveller)


@step(within=seconds(2), retry=QUICK)
def room(trip: Trip) -> ReserveRoom:
    return ReserveRoom(trip.traveller)


@room.undo(within=seconds(2))
def free_room(command: ReserveRoom, _: Reserved | None) -> FreeRoom:
    return FreeRoom(command.traveller)


@step(within=seconds(2), retry=QUICK)
def card(trip: Trip, seat: Reserved) -> Charge:
    return Charge(trip.traveller, trip.cents, seat.reference)


@card.undo(within=seconds(2))
def refund(command: Charge, _: Reserved | None) -> Refund:
    return Refund(command.traveller)


@saga(version=1, deadline=minutes(5))
def trip(flow: Flow, given: Later[Trip]) -> None:
    """Seat, room, money."""
    reserved = flow.do(seat(given))
    flow.do(room(given))
    flow.do(card(given, reserved))
