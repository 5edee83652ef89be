"""Answers in a trial that no participant can give: never run, only type-checked."""

from typing_shop import CancelSeat, ReserveSeat, SoldOut, Trip, book_trip

from orchestrator import Done
from orchestrator.testing import trial


def test_a_trial_knows_what_each_command_may_answer() -> None:
    run = trial(book_trip.given(Trip("Ada", "LH1", "Rome", 900)))
    run.sends(ReserveSeat("LH1", "Ada")).replies(Done())  # M21
    run.sends(CancelSeat("LH1", "Ada")).fails(SoldOut("LH1"))  # M22
