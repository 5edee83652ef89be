"""The "trip" workload as a program: a flight, a hotel, the card, each a remote step.

One trip in ten is declined at the card and takes hotel and flight back, in that order.
"""

from __future__ import annotations

import os

from orchestrator import (
    Command,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    minutes,
    saga,
    seconds,
    step,
)
from orchestrator.participant import Transaction

RUN_VARIABLE = "SAGA_BENCH_RUN"
"""Environment variable with the name of a run: runs on one broker must not share topics."""
NAMES = ("flight", "hotel", "card")
EFFECTS = "effects"
"""Table of the participants: how often each effect was applied, by `saga/effect`."""


def participant_name(run: str, name: str) -> str:
    """Name of a participant in a run."""
    return f"{run}-{name}"


_flights, _hotels, _cards = (
    Participant(participant_name(os.environ.get(RUN_VARIABLE, "trip"), name)) for name in NAMES
)


class Traveller(Payload):
    """Who travels."""

    name: str
    email: str


class Flight(Payload):
    """A seat on a plane."""

    origin: str
    destination: str
    date: str
    cabin: str


class Hotel(Payload):
    """A room."""

    city: str
    nights: int
    room: str


class Card(Payload):
    """A means of payment, and what is taken from it."""

    token: str
    amount: int
    currency: str
    declined: bool


class Trip(Payload):
    """What a saga starts with: some 330 bytes."""

    saga: str
    traveller: Traveller
    flight: Flight
    hotel: Hotel
    card: Card
    note: str


class Confirmed(Payload):
    """What each step gives: some 100 bytes."""

    step: str
    saga: str
    confirmation: str
    status: str


class Declined(Payload):
    """The card is not charged, for good."""

    reason: str


class ReserveFlight(Command[Confirmed], to=_flights):
    """Reserve a seat."""

    saga: str
    traveller: Traveller
    flight: Flight


class CancelFlight(Command[Done], to=_flights):
    """Give the seat back."""

    saga: str


class ReserveHotel(Command[Confirmed], to=_hotels):
    """Reserve a room."""

    saga: str
    traveller: Traveller
    hotel: Hotel


class CancelHotel(Command[Done], to=_hotels):
    """Give the room back."""

    saga: str


class ChargeCard(Command[Confirmed, Declined], to=_cards):
    """Charge the card."""

    saga: str
    card: Card


# --- the saga -----------------------------------------------------------------------------------


@step(within=seconds(60))
def flight(trip: Trip) -> ReserveFlight:
    """Reserve a seat."""
    return ReserveFlight(trip.saga, trip.traveller, trip.flight)


@flight.undo(within=seconds(60))
def undo_flight(command: ReserveFlight, _: Confirmed | None) -> CancelFlight:
    """Give the seat back."""
    return CancelFlight(command.saga)


@step(within=seconds(60))
def hotel(trip: Trip) -> ReserveHotel:
    """Reserve a room."""
    return ReserveHotel(trip.saga, trip.traveller, trip.hotel)


@hotel.undo(within=seconds(60))
def undo_hotel(command: ReserveHotel, _: Confirmed | None) -> CancelHotel:
    """Give the room back."""
    return CancelHotel(command.saga)


@step(within=seconds(60), irreversible=True)
def card(trip: Trip) -> ChargeCard:
    """Charge the card: the last step, and the one that may be refused."""
    return ChargeCard(trip.saga, trip.card)


@saga(version=1, deadline=minutes(30))
def trip(flow: Flow, asked: Later[Trip]) -> None:
    """Reserve flight and hotel, then charge the card."""
    flow.do(flight(asked))
    flow.do(hotel(asked))
    flow.pivot(card(asked))


# --- the participants ---------------------------------------------------------------------------


def _confirmed(tables: Transaction, saga_id: str, effect: str) -> Confirmed:
    tables.add(EFFECTS, f"{saga_id}/{effect}", 1)
    return Confirmed(effect, saga_id, f"{effect[:2].upper()}-0123456789ABCDEF" + "0" * 48, "ok")


def _undone(tables: Transaction, saga_id: str, effect: str) -> Done:
    tables.add(EFFECTS, f"{saga_id}/{effect}", 1)
    return Done()


@ReserveFlight.handler
def on_reserve_flight(command: ReserveFlight, tables: Transaction) -> Confirmed:
    """Reserve a seat."""
    return _confirmed(tables, command.saga, "flight")


@CancelFlight.handler
def on_cancel_flight(command: CancelFlight, tables: Transaction) -> Done:
    """Give the seat back."""
    return _undone(tables, command.saga, "undo_flight")


@ReserveHotel.handler
def on_reserve_hotel(command: ReserveHotel, tables: Transaction) -> Confirmed:
    """Reserve a room."""
    return _confirmed(tables, command.saga, "hotel")


@CancelHotel.handler
def on_cancel_hotel(command: CancelHotel, tables: Transaction) -> Done:
    """Give the room back."""
    return _undone(tables, command.saga, "undo_hotel")


@ChargeCard.handler
def on_charge_card(command: ChargeCard, tables: Transaction) -> Confirmed | Declined:
    """Charge the card, or not."""
    if command.card.declined:
        return Declined("card declined")
    return _confirmed(tables, command.saga, "card")
