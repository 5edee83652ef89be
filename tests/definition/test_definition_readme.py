"""The saga of the documentation, used as its reader would use it."""

from book_trip_plan import (
    CancelRoom,
    CancelSeat,
    ChargeCard,
    Declined,
    ReserveRoom,
    ReserveSeat,
    RoomReserved,
    SeatReserved,
    SoldOut,
    Trip,
    book_trip,
    on_reserve_seat,
    reserve_seat,
)

from orchestrator import Done, check
from orchestrator.testing import trial

ADA = Trip("Ada", "LH1", "Rome", 90_000)


def test_the_command():
    assert reserve_seat.command(ADA) == ReserveSeat("LH1", "Ada")


def test_a_declined_card_frees_room_and_seat():
    (
        trial(book_trip.given(ADA))
        .sends(ReserveSeat("LH1", "Ada"))
        .replies(SeatReserved("12A"))
        .sends(ReserveRoom("Rome", "Ada"))
        .replies(RoomReserved("7"))
        .sends(ChargeCard(90_000, "seat 12A, room 7"))
        .fails(Declined("limit"))
        .sends(CancelRoom("Rome", "Ada"))
        .replies(Done())
        .sends(CancelSeat("LH1", "Ada"))
        .replies(Done())
        .rolls_back()
    )


def test_the_definition():
    check(book_trip)


def test_the_participant():
    assert on_reserve_seat(ReserveSeat("LH1", "Ada")) == SeatReserved("12A")
    assert on_reserve_seat(ReserveSeat("LH2", "Ada")) == SoldOut("LH2")
    assert on_reserve_seat.command is ReserveSeat
    assert on_reserve_seat.participant.name == "flights"
