"""The airline, the hotels and the card company. Their tables commit together with their answers."""

from __future__ import annotations

from orchestrator import Done
from orchestrator.participant import Transaction
from sagas.book_trip.contracts import (
    ChargeCard,
    Charged,
    Declined,
    FlightCancelled,
    FullyBooked,
    IssueTicket,
    NoSeat,
    RefundCard,
    ReleaseRoom,
    ReleaseSeat,
    ReserveRoom,
    ReserveSeat,
    RoomReserved,
    SeatReserved,
    TicketIssued,
)
from sagas.book_trip.inventory import WALLET_CENTS, is_cancelled, rooms_in, seats_of

LETTERS = "ABCDEF"

# --- the airline --------------------------------------------------------------------------------


@ReserveSeat.handler
def on_reserve_seat(command: ReserveSeat, tables: Transaction) -> SeatReserved | NoSeat:
    """Hold a seat while the aircraft has one."""
    seats = seats_of(command.aircraft)
    if not seats:
        return NoSeat("no aircraft of this tail number is on file")
    if tables.number("seats", command.flight) >= seats:
        return NoSeat("every seat is taken")
    number = tables.add("seats", command.flight, 1) - 1
    return SeatReserved(f"{number // len(LETTERS) + 1}{LETTERS[number % len(LETTERS)]}")


@ReleaseSeat.handler
def on_release_seat(command: ReleaseSeat, tables: Transaction) -> Done:
    """Give the seat back."""
    tables.add("seats", command.flight, -1)
    return Done()


@IssueTicket.handler
def on_issue_ticket(command: IssueTicket, tables: Transaction) -> TicketIssued | FlightCancelled:
    """Issue a ticket, unless the flight does not leave."""
    if is_cancelled(command.flight):
        return FlightCancelled(command.flight)
    number = tables.add("tickets", "issued", 1)
    return TicketIssued(f"T{number:08}")


# --- the hotels ---------------------------------------------------------------------------------


@ReserveRoom.handler
def on_reserve_room(command: ReserveRoom, tables: Transaction) -> RoomReserved | FullyBooked:
    """Hold a room while the city has one that night."""
    night = f"{command.city}-{command.night}"
    if tables.number("rooms", night) >= rooms_in(command.city):
        return FullyBooked(command.city, command.night)
    return RoomReserved(tables.add("rooms", night, 1))


@ReleaseRoom.handler
def on_release_room(command: ReleaseRoom, tables: Transaction) -> Done:
    """Give the room back."""
    tables.add("rooms", f"{command.city}-{command.night}", -1)
    return Done()


# --- the card company ---------------------------------------------------------------------------


@ChargeCard.handler
def on_charge_card(command: ChargeCard, tables: Transaction) -> Charged | Declined:
    """Take the price while the wallet holds it."""
    spent = tables.number("spent", command.traveller)
    if spent + command.amount_cents > WALLET_CENTS:
        return Declined(f"{WALLET_CENTS - spent} cents are left")
    tables.add("spent", command.traveller, command.amount_cents)
    tables.add("income", "all", command.amount_cents)
    return Charged(f"R{tables.add('receipts', 'all', 1):08}")


@RefundCard.handler
def on_refund_card(command: RefundCard, tables: Transaction) -> Done:
    """Give the price back."""
    tables.add("spent", command.traveller, -command.amount_cents)
    tables.add("income", "all", -command.amount_cents)
    return Done()
