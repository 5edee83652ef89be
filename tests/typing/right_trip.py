"""The README's saga: clean under every checker, and what the checkers infer of it."""

from typing import assert_type

from typing_shop import (
    CancelSeat,
    Charged,
    Itinerary,
    ReserveSeat,
    RoomReserved,
    SeatReserved,
    SoldOut,
    Trip,
    book_trip,
    cancel_seat,
    charge_card,
    itinerary,
    reserve_room,
    reserve_seat,
)

from orchestrator import Call, Flow, Later, Saga, Start, check, minutes, saga

ADA = Trip("Ada", "LH1", "Rome", 90_000)


@saga(version=1, deadline=minutes(30))
def trip_again(flow: Flow, trip: Later[Trip]) -> Later[Itinerary]:
    call = reserve_seat(trip)
    assert_type(call, Call[SeatReserved])
    seat = flow.do(call)
    assert_type(seat, Later[SeatReserved])
    room = flow.do(reserve_room(trip, seat))
    assert_type(room, Later[RoomReserved])
    charged = flow.pivot(charge_card(trip, seat, room))
    assert_type(charged, Later[Charged])
    return itinerary(seat, room)


@ReserveSeat.handler
def on_reserve_seat(command: ReserveSeat) -> SeatReserved | SoldOut:
    return SeatReserved("12A") if command.flight == "LH1" else SoldOut(command.flight)


@ReserveSeat.handler
def on_seat_with_more(command: ReserveSeat, tables: dict[str, int]) -> SeatReserved | SoldOut:
    return SeatReserved(str(tables[command.flight]))


def test_what_the_checkers_infer() -> None:
    assert_type(trip_again, Saga[Trip, Itinerary])
    assert_type(trip_again.given(ADA), Start[Itinerary])
    assert_type(reserve_seat.command(ADA), ReserveSeat)
    assert_type(cancel_seat(ReserveSeat("LH1", "Ada"), None), CancelSeat)
    assert_type(itinerary.value(SeatReserved("12A"), RoomReserved("7")), Itinerary)
    assert_type(on_reserve_seat(ReserveSeat("LH1", "Ada")), SeatReserved | SoldOut)
    more = on_seat_with_more(ReserveSeat("LH1", "Ada"), {"LH1": 1})
    assert_type(more, SeatReserved | SoldOut)
    check(book_trip)
