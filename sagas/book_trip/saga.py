"""The trip, as it would stand on a whiteboard."""

from __future__ import annotations

from orchestrator import Flow, Later, Retry, derive, minutes, saga, seconds, step
from sagas.book_trip.contracts import (
    ChargeCard,
    Charged,
    IssueTicket,
    Itinerary,
    RefundCard,
    ReleaseRoom,
    ReleaseSeat,
    ReserveRoom,
    ReserveSeat,
    RoomReserved,
    SeatReserved,
    TicketIssued,
    Trip,
)


@step(within=seconds(10), retry=Retry(attempts=5))
def reserve_seat(trip: Trip) -> ReserveSeat:
    """Hold a seat on the flight."""
    return ReserveSeat(trip.flight, trip.aircraft, trip.traveller)


@reserve_seat.undo(within=seconds(10))
def release_seat(command: ReserveSeat, result: SeatReserved | None) -> ReleaseSeat:
    """Give the seat back."""
    return ReleaseSeat(command.flight, command.traveller)


@step(within=seconds(10), retry=Retry(attempts=5))
def reserve_room(trip: Trip) -> ReserveRoom:
    """Hold a room for the night of arrival."""
    return ReserveRoom(trip.city, trip.night, trip.traveller)


@reserve_room.undo(within=seconds(10))
def release_room(command: ReserveRoom, result: RoomReserved | None) -> ReleaseRoom:
    """Give the room back."""
    return ReleaseRoom(command.city, command.night, command.guest)


@step(within=seconds(10), retry=Retry(attempts=5))
def charge_card(trip: Trip) -> ChargeCard:
    """Take the price."""
    return ChargeCard(trip.traveller, trip.price_cents)


@charge_card.undo(within=seconds(10))
def refund_card(command: ChargeCard, result: Charged | None) -> RefundCard:
    """Give the price back."""
    return RefundCard(command.traveller, command.amount_cents)


@step(within=seconds(30), retry=Retry.forever(), irreversible=True)
def issue_ticket(trip: Trip, seat: SeatReserved) -> IssueTicket:
    """Issue the ticket: the point of no return."""
    return IssueTicket(trip.flight, seat.seat, trip.traveller)


@derive
def itinerary(seat: SeatReserved, room: RoomReserved, ticket: TicketIssued) -> Itinerary:
    """Put together what the traveller gets."""
    return Itinerary(seat.seat, room.room, ticket.ticket)


@saga(version=1, deadline=minutes(30))
def book_trip(flow: Flow, trip: Later[Trip]) -> Later[Itinerary]:
    """Reserve a seat and a room, charge the card, then issue the ticket."""
    seat = flow.do(reserve_seat(trip))
    room = flow.do(reserve_room(trip))
    flow.do(charge_card(trip))
    ticket = flow.pivot(issue_ticket(trip, seat))
    return itinerary(seat, room, ticket)
