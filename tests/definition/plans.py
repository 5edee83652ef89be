"""Contracts of a second shop, for plans that tests write in place."""

# ruff: noqa: ARG001

from orchestrator import (
    Command,
    Done,
    Participant,
    Payload,
    derive,
    seconds,
    step,
)

warehouse, gifts, carrier = Participant("warehouse"), Participant("gifts"), Participant("carrier")


class Order(Payload):
    order_id: str
    total_cents: int
    gift: bool
    lines: tuple[str, ...] = ()


class StockReserved(Payload):
    shelf: str


class Held(Payload):
    hold: str


class Wrapped(Payload):
    paper: str


class Shipped(Payload):
    parcel: str


class NoStock(Payload):
    sku: str


class Approved(Payload):
    by: str


class ReserveStock(Command[StockReserved, NoStock], to=warehouse):
    sku: str


class ReleaseStock(Command[Done], to=warehouse):
    sku: str


class HoldMoney(Command[Held], to=gifts):
    amount_cents: int


class FreeMoney(Command[Done], to=gifts):
    amount_cents: int


class WrapGift(Command[Wrapped], to=gifts):
    shelf: str


class UnwrapGift(Command[Done], to=gifts):
    shelf: str


class Ship(Command[Shipped], to=carrier):
    shelf: str
    paper: str


@step(within=seconds(10))
def reserve_stock(order: Order) -> ReserveStock:
    return ReserveStock(order.order_id)


@reserve_stock.undo(within=seconds(10))
def release_stock(command: ReserveStock, result: StockReserved | None) -> ReleaseStock:
    return ReleaseStock(command.sku)


@step(within=seconds(10))
def hold_money(order: Order) -> HoldMoney:
    return HoldMoney(order.total_cents)


@hold_money.undo(within=seconds(10))
def free_money(command: HoldMoney, result: Held | None) -> FreeMoney:
    return FreeMoney(command.amount_cents)


@step(within=seconds(10))
def wrap_gift(stock: StockReserved) -> WrapGift:
    return WrapGift(stock.shelf)


@wrap_gift.undo(within=seconds(10))
def unwrap_gift(command: WrapGift, result: Wrapped | None) -> UnwrapGift:
    return UnwrapGift(command.shelf)


@step(within=seconds(60), irreversible=True)
def ship(stock: StockReserved, wrapped: Wrapped | None) -> Ship:
    return Ship(stock.shelf, wrapped.paper if wrapped else "")


@step(within=seconds(60))
def no_undo(order: Order) -> HoldMoney:
    return HoldMoney(order.total_cents)


@step(within=seconds(10), irreversible=True)
def label(wrapped: Wrapped) -> Ship:
    return Ship("", wrapped.paper)


@derive
def wants_gift(order: Order) -> bool:
    return order.gift


@derive
def lines_of(order: Order) -> tuple[str, ...]:
    return order.lines
