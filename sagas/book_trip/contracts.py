"""What the trip saga and its three participants have agreed on."""

from __future__ import annotations

from orchestrator import Command, Done, Participant, Payload

airline = Participant("airline")
hotels = Participant("hotels")
cards = Participant("cards")


class Trip(Payload):
    """What a traveller asks for: one seat on one flight, and a room for the night after it."""

    traveller: str
    flight: str
    """Number and day, such as `UA1545-2013-01-01`."""
    aircraft: str
    """Tail number; empty if the airline has not said."""
    city: str
    night: str
    """ISO date."""
    price_cents: int


class SeatReserved(Payload):
    """A seat is held."""

    seat: str


class NoSeat(Payload):
    """The flight has no seat to give."""

    reason: str


class ReserveSeat(Command[SeatReserved, NoSeat], to=airline):
    """Hold one seat."""

    flight: str
    aircraft: str
    traveller: str


class ReleaseSeat(Command[Done], to=airline):
    """Give the seat back."""

    flight: str
    traveller: str


class RoomReserved(Payload):
    """A room is held."""

    room: int


class FullyBooked(Payload):
    """The city has no room left that night."""

    city: str
    night: str


class ReserveRoom(Command[RoomReserved, FullyBooked], to=hotels):
    """Hold one room for one night."""

    city: str
    night: str
    guest: str


class ReleaseRoom(Command[Done], to=hotels):
    """Give the room back."""

    city: str
    night: str
    guest: str


class Charged(Payload):
    """The card was charged."""

    receipt: str


class Declined(Payload):
    """The card was not charged."""

    reason: str


class ChargeCard(Command[Charged, Declined], to=cards):
    """Take the price from the traveller's card."""

    traveller: str
    amount_cents: int


class RefundCard(Command[Done], to=cards):
    """Give the price back."""

    traveller: str
    amount_cents: int


class TicketIssued(Payload):
    """The ticket exists; the trip can no longer be taken back."""

    ticket: str


class FlightCancelled(Payload):
    """The flight will not leave, so no ticket is issued for it."""

    flight: str


class IssueTicket(Command[TicketIssued, FlightCancelled], to=airline):
    """Issue the ticket for a seat that is held."""

    flight: str
    seat: str
    traveller: str


class Itinerary(Payload):
    """What the traveller gets."""

    seat: str
    room: int
    ticket: str
