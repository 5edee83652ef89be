"""The other side of a saga: functions that execute step commands, once each.

::

    @ReserveSeat.handler
    def on_reserve_seat(command: ReserveSeat, tables: Transaction) -> SeatReserved | SoldOut: ...

A declared result is a success, a declared failure a final no, an exception means "try again".
"""

from orchestrator.participant.handler import Operation, RetryLater
from orchestrator.participant.transaction import Transaction

__all__ = ["Operation", "RetryLater", "Transaction"]
