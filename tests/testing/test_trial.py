"""The test kit, tried on the example sagas: given, when, then in virtual time."""

import itertools

import pytest

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
from orchestrator.core.events import ReplyIgnored
from orchestrator.testing import trial
from sagas.book_trip.contracts import (
    ChargeCard,
    Charged,
    Declined,
    FlightCancelled,
    FullyBooked,
    IssueTicket,
    Itinerary,
    NoSeat,
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
from sagas.book_trip.saga import book_trip, reserve_seat
from sagas.fulfil_order.contracts import (
    Captured,
    CaptureMoney,
    HoldMoney,
    HoldRefused,
    MoneyHeld,
    Order,
    ReleaseStock,
    ReserveStock,
    Ship,
    Shipped,
    StockReserved,
    WrapGift,
    Wrapped,
)
from sagas.fulfil_order.saga import fulfil_order

ADA = Trip("Ada", "LH1", "D-AB", "Rome", "2013-01-01", 90_000)
SEAT = ReserveSeat("LH1", "D-AB", "Ada")
ROOM = ReserveRoom("Rome", "2013-01-01", "Ada")
CARD = ChargeCard("Ada", 90_000)
NO_SEAT = ReleaseSeat("LH1", "Ada")
NO_ROOM = ReleaseRoom("Rome", "2013-01-01", "Ada")
REFUND = RefundCard("Ada", 90_000)
TICKET = IssueTicket("LH1", "12A", "Ada")
GIFT = Order("o1", "lamp", 2, 500, gift=True)


def paid():
    return (
        trial(book_trip.given(ADA))
        .sends(SEAT)
        .replies(SeatReserved("12A"))
        .sends(ROOM)
        .replies(RoomReserved(7))
        .sends(CARD)
        .replies(Charged("R1"))
    )


def test_a_step_is_a_pure_function():
    assert reserve_seat.command(ADA) == SEAT


def test_the_happy_path_ends_with_the_outcome():
    paid().sends(TICKET).replies(TicketIssued("T1")).completes(Itinerary("12A", 7, "T1"))


def test_no_seat_leaves_nothing_to_undo():
    trial(book_trip.given(ADA)).sends(SEAT).fails(NoSeat("full")).sends_nothing().rolls_back()


def test_a_full_city_frees_the_seat():
    (
        trial(book_trip.given(ADA))
        .sends(SEAT)
        .replies(SeatReserved("12A"))
        .sends(ROOM)
        .fails(FullyBooked("Rome", "2013-01-01"))
        .sends(NO_SEAT)
        .replies(Done())
        .rolls_back()
    )


def test_a_cancelled_flight_takes_everything_back_in_reverse():
    (
        paid()
        .sends(TICKET)
        .fails(FlightCancelled("LH1"))
        .sends(REFUND)
        .replies(Done())
        .sends(NO_ROOM)
        .replies(Done())
        .sends(NO_SEAT)
        .replies(Done())
        .rolls_back()
    )


def test_silence_is_tried_again_and_then_undone_as_unknown():
    (
        trial(book_trip.given(ADA))
        .sends(SEAT)
        .times_out()
        .sends(SEAT)
        .never_answers()
        .sends(NO_SEAT)
        .replies(Done())
        .rolls_back()
    )


def test_a_refusal_after_silence_is_not_believed():
    # The attempt that was not answered may have worked.
    trial(book_trip.given(ADA)).sends(SEAT).times_out().sends(SEAT).fails(NoSeat("full")).sends(
        NO_SEAT
    ).replies(Done()).rolls_back()


def test_retry_later_is_sent_again():
    run = trial(book_trip.given(ADA)).sends(SEAT).asks_to_retry("busy")
    run.sends_nothing().sends(SEAT).replies(SeatReserved("12A")).sends(ROOM)


def test_cancel_compensates():
    run = trial(book_trip.given(ADA)).sends(SEAT).replies(SeatReserved("12A"))
    run.cancel("changed my mind").sends(ROOM).replies(RoomReserved(7))
    run.sends(NO_ROOM).replies(Done()).sends(NO_SEAT).replies(Done()).is_cancelled()


def test_the_deadline_turns_a_saga_back():
    run = trial(book_trip.given(ADA)).sends(SEAT).replies(SeatReserved("12A"))
    run.after(minutes(31)).sends(NO_ROOM).replies(Done()).sends(NO_SEAT).replies(Done())
    run.rolls_back()


def test_branches_run_at_once_in_any_order():
    run = trial(fulfil_order.given(GIFT))
    run.sends(HoldMoney("o1", 500)).replies(MoneyHeld("h"))
    run.sends(ReserveStock("lamp", 2)).replies(StockReserved("s"))
    run.sends(WrapGift("s")).replies(Wrapped("stars"))
    run.sends(CaptureMoney("o1", "h")).replies(Captured("r"))
    run.sends(Ship("o1", "s", "stars")).replies(Shipped("t")).completes(Shipped("t"))


def test_a_refused_hold_waits_for_the_other_branch_and_undoes_it():
    run = trial(fulfil_order.given(GIFT))
    run.sends(HoldMoney("o1", 500)).fails(HoldRefused("limit"))
    run.sends(ReserveStock("lamp", 2)).replies(StockReserved("s"))
    run.sends(ReleaseStock("lamp", 2)).replies(Done()).rolls_back()


def test_a_branch_not_taken_is_not_undone():
    run = trial(fulfil_order.given(Order("o1", "lamp", 2, 500, gift=False)))
    run.sends(HoldMoney("o1", 500)).replies(MoneyHeld("h"))
    run.sends(ReserveStock("lamp", 2)).replies(StockReserved("s"))
    run.cancel().sends(CaptureMoney("o1", "h"))  # too late: the pivot has been requested
    run.sends(CaptureMoney("o1", "h")).replies(Captured("r"))
    run.sends(Ship("o1", "s", "plain")).replies(Shipped("t")).completes()


def test_after_the_pivot_it_only_goes_forward():
    run = trial(fulfil_order.given(Order("o1", "lamp", 2, 500, gift=False)))
    run.sends(ReserveStock("lamp", 2)).replies(StockReserved("s"))
    run.sends(HoldMoney("o1", 500)).replies(MoneyHeld("h"))
    run.sends(CaptureMoney("o1", "h")).replies(Captured("r"))
    ship = Ship("o1", "s", "plain")
    for _ in range(20):
        run.sends(ship).asks_to_retry("strike")
    run.sends(ship).replies(Shipped("t")).completes(Shipped("t"))


def test_what_was_expected_and_what_was_seen_are_told():
    with pytest.raises(AssertionError, match=r"(?s)expected ReserveRoom.*waiting.*ReserveSeat"):
        trial(book_trip.given(ADA)).sends(ROOM)
    with pytest.raises(AssertionError, match="expected the saga to be rolled back"):
        paid().rolls_back()
    with pytest.raises(AssertionError, match="the outcome is not"):
        paid().sends(TICKET).replies(TicketIssued("T1")).completes(Itinerary("1", 1, "1"))
    with pytest.raises(AssertionError, match="retried for ever"):
        paid().sends(TICKET).never_answers()


def test_answers_that_no_participant_can_give_are_refused():
    with pytest.raises(
        AssertionError, match="is no result of ReserveSeat; declared: SeatReserved"
    ):
        trial(book_trip.given(ADA)).sends(SEAT).replies(RoomReserved(7))
    with pytest.raises(AssertionError, match="is no failure of ReserveSeat; declared: NoSeat"):
        trial(book_trip.given(ADA)).sends(SEAT).fails(Declined("limit"))
    run = trial(book_trip.given(ADA)).sends(SEAT).replies(SeatReserved("12A")).cancel()
    undo = run.sends(ROOM).replies(RoomReserved(7)).sends(NO_ROOM)
    with pytest.raises(AssertionError, match="is no failure of ReleaseRoom; declared: none"):
        undo.fails(Declined("never"))


def test_a_late_answer_is_recorded_and_changes_nothing():
    run = trial(book_trip.given(ADA))
    first = run.sends(SEAT)
    first.never_answers()
    first.replies(SeatReserved("12A"))
    assert isinstance(run.events[-1], ReplyIgnored)
    run.sends(NO_SEAT).replies(Done()).rolls_back()


desk = Participant("desk")
drawn = itertools.count()


class Form(Payload):
    name: str


class File(Command[Done], to=desk):
    number: int


@step(within=seconds(5), irreversible=True)
def file(form: Form) -> File:
    return File(len(form.name) + next(drawn))


@saga(version=1, deadline=minutes(1))
def impure(flow: Flow, form: Later[Form]) -> None:
    flow.do(file(form))


def test_an_impure_step_is_found_out():
    with pytest.raises(AssertionError, match="not pure"):
        trial(impure.given(Form("x")))


@step(within=seconds(5), irreversible=True)
def broken(form: Form) -> File:
    return File(len(form.name) // 0)


@saga(version=1, deadline=minutes(1))
def faulty(flow: Flow, form: Later[Form]) -> None:
    flow.do(broken(form))


def test_a_step_that_raises_leaves_the_saga_waiting_for_a_person():
    run = trial(faulty.given(Form("x"))).is_stuck()
    with pytest.raises(AssertionError, match=r"ZeroDivisionError"):
        run.completes()
