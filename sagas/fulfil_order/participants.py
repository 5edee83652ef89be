"""A warehouse, a payment service and a carrier."""

from __future__ import annotations

from orchestrator import Done
from orchestrator.participant import Operation, Transaction
from sagas.fulfil_order.contracts import (
    Captured,
    CaptureMoney,
    FreeMoney,
    HoldExpired,
    HoldMoney,
    HoldRefused,
    MoneyHeld,
    OutOfStock,
    ReleaseStock,
    ReserveStock,
    Ship,
    Shipped,
    StockReserved,
    UnwrapGift,
    WrapGift,
    Wrapped,
)

PIECES_OPENING = 1_000
HOLD_MAX_CENTS = 100_000

# --- the warehouse ------------------------------------------------------------------------------


@ReserveStock.handler
def on_reserve_stock(command: ReserveStock, tables: Transaction) -> StockReserved | OutOfStock:
    """Lay pieces aside while there are so many."""
    available = PIECES_OPENING - tables.number("aside", command.article)
    if command.pieces > available:
        return OutOfStock(available)
    tables.add("aside", command.article, command.pieces)
    return StockReserved(f"shelf-{command.article}")


@ReleaseStock.handler
def on_release_stock(command: ReleaseStock, tables: Transaction) -> Done:
    """Put the pieces back."""
    tables.add("aside", command.article, -command.pieces)
    return Done()


@WrapGift.handler
def on_wrap_gift(command: WrapGift, tables: Transaction) -> Wrapped:
    """Wrap what lies on a shelf."""
    tables.add("wrapped", command.shelf, 1)
    return Wrapped("stars")


@UnwrapGift.handler
def on_unwrap_gift(command: UnwrapGift, tables: Transaction) -> Done:
    """Unwrap it."""
    tables.add("wrapped", command.shelf, -1)
    return Done()


# --- the payment service ------------------------------------------------------------------------


@HoldMoney.handler
def on_hold_money(command: HoldMoney, tables: Transaction) -> MoneyHeld | HoldRefused:
    """Hold the price, up to a limit."""
    if command.amount_cents > HOLD_MAX_CENTS:
        return HoldRefused(f"more than {HOLD_MAX_CENTS} cents")
    tables.put("holds", command.order, b"%d" % command.amount_cents)
    return MoneyHeld(f"hold-{command.order}")


@FreeMoney.handler
def on_free_money(command: FreeMoney, tables: Transaction) -> Done:
    """Let a hold go."""
    tables.delete("holds", command.order)
    return Done()


@CaptureMoney.handler
def on_capture_money(command: CaptureMoney, tables: Transaction) -> Captured | HoldExpired:
    """Take the money of a hold."""
    amount = tables.get("holds", command.order)
    if amount is None:
        return HoldExpired(command.hold)
    tables.delete("holds", command.order)
    tables.add("income", "all", int(amount))
    return Captured(f"receipt-{command.order}")


# --- the carrier --------------------------------------------------------------------------------


@Ship.handler
def on_ship(command: Ship, operation: Operation) -> Shipped:
    """Take the parcel. The operation's key makes one parcel of however many requests."""
    return Shipped(f"track-{operation.key}")
