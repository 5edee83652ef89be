"""The order: two things at once, one on condition, and a point of no return with a way forward."""

from __future__ import annotations

from orchestrator import Flow, Later, Retry, derive, hours, minutes, saga, seconds, step
from sagas.fulfil_order.contracts import (
    CaptureMoney,
    FreeMoney,
    HoldMoney,
    MoneyHeld,
    Order,
    ReleaseStock,
    ReserveStock,
    Ship,
    Shipped,
    StockReserved,
    UnwrapGift,
    WrapGift,
    Wrapped,
)


@step(within=seconds(10), retry=Retry(attempts=5))
def reserve_stock(order: Order) -> ReserveStock:
    """Lay the pieces aside."""
    return ReserveStock(order.article, order.pieces)


@reserve_stock.undo(within=seconds(10))
def release_stock(command: ReserveStock, result: StockReserved | None) -> ReleaseStock:
    """Put the pieces back."""
    return ReleaseStock(command.article, command.pieces)


@step(within=seconds(10), retry=Retry(attempts=5))
def hold_money(order: Order) -> HoldMoney:
    """Hold the price on the card."""
    return HoldMoney(order.order, order.total_cents)


@hold_money.undo(within=seconds(10))
def free_money(command: HoldMoney, result: MoneyHeld | None) -> FreeMoney:
    """Let the money go."""
    return FreeMoney(command.order)


@derive
def wants_gift(order: Order) -> bool:
    """Whether the order is a gift."""
    return order.gift


@step(within=minutes(1), retry=Retry(attempts=5))
def wrap_gift(stock: StockReserved) -> WrapGift:
    """Wrap the pieces."""
    return WrapGift(stock.shelf)


@wrap_gift.undo(within=minutes(1))
def unwrap_gift(command: WrapGift, result: Wrapped | None) -> UnwrapGift:
    """Unwrap the pieces."""
    return UnwrapGift(command.shelf)


@step(within=seconds(30), retry=Retry.forever(), irreversible=True)
def capture_money(order: Order, held: MoneyHeld) -> CaptureMoney:
    """Take the money: the point of no return."""
    return CaptureMoney(order.order, held.hold)


@step(within=hours(1), retry=Retry.forever(), irreversible=True)
def ship(order: Order, stock: StockReserved, wrapped: Wrapped | None) -> Ship:
    """Ship, and keep at it until it is done."""
    return Ship(order.order, stock.shelf, wrapped.paper if wrapped else "plain")


@saga(version=1, deadline=hours(24))
def fulfil_order(flow: Flow, order: Later[Order]) -> Later[Shipped]:
    """Reserve and charge at once, wrap gifts, take the money, ship."""
    stock, held = flow.parallel(reserve_stock(order), hold_money(order))
    wrapped = flow.when(wants_gift(order), wrap_gift(stock))
    flow.pivot(capture_money(order, held))
    return flow.do(ship(order, stock, wrapped))
