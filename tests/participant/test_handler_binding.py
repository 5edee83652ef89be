"""What a handler may look like, and what is said of one that may not."""

import sqlite3

import pytest
from airline_bench import CancelSeat, ReserveSeat, SeatReserved, SoldOut

from orchestrator.definition.payload import Done
from orchestrator.errors import ConfigurationError
from orchestrator.participant import Operation, Transaction
from orchestrator.participant.handler import bind, ledger_kind


class Raw:
    """A handler as a protocol sees it, so that wrong ones need no cooperation of the decorator."""

    def __init__(self, command, function):
        self.command, self.function = command, function


def plain(command: ReserveSeat) -> SeatReserved | SoldOut: ...
def tables(command: ReserveSeat, tx: Transaction) -> SeatReserved | SoldOut: ...
def sql(command: CancelSeat, op: Operation, db: sqlite3.Connection) -> Done: ...
def stranger(command: ReserveSeat, what: int) -> SeatReserved | SoldOut: ...
def bare(command: ReserveSeat, what) -> SeatReserved | SoldOut: ...
def twice(command: ReserveSeat, a: Operation, b: Operation) -> SeatReserved | SoldOut: ...
def keyword(command: ReserveSeat, *, op: Operation) -> SeatReserved | SoldOut: ...
def wrong(command: CancelSeat) -> SeatReserved | SoldOut: ...
def nothing() -> SeatReserved | SoldOut: ...
def unreadable(command: "Missing") -> SeatReserved | SoldOut: ...  # noqa: F821


def test_a_binding_knows_what_is_declared():
    binding = bind([Raw(ReserveSeat, plain)])["ReserveSeat"]
    assert (binding.results, binding.failures) == ((SeatReserved,), (SoldOut,))
    assert binding.declared == "SeatReserved | SoldOut"
    assert bind([Raw(CancelSeat, sql)])["CancelSeat"].failures == ()


@pytest.mark.parametrize(
    ("command", "function", "kind"),
    [
        (ReserveSeat, plain, None),
        (ReserveSeat, tables, "rocksdb"),
        (CancelSeat, sql, "sqlite"),
    ],
)
def test_the_handlers_choose_the_ledger(command, function, kind):
    assert ledger_kind(bind([Raw(command, function)])) == kind


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (stranger, "parameter what cannot be filled"),
        (bare, "parameter what cannot be filled"),
        (twice, "each at most once"),
        (keyword, "must be positional"),
        (wrong, "must be a ReserveSeat"),
        (nothing, "must be a ReserveSeat"),
        (unreadable, "Missing"),
    ],
)
def test_mistakes_are_said_with_their_cure(function, says):
    with pytest.raises(ConfigurationError, match=says):
        bind([Raw(ReserveSeat, function)])


def test_all_mistakes_are_said_together():
    with pytest.raises(ConfigurationError, match=r"(?s)what cannot.*two handlers.*one ledger"):
        bind(
            [
                Raw(ReserveSeat, stranger),
                Raw(ReserveSeat, tables),
                Raw(ReserveSeat, tables),
                Raw(CancelSeat, sql),
            ]
        )
