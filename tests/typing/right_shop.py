"""Every verb and every number of parameters, clean under every checker."""

# ruff: noqa: ARG001, PLR0917, PLW0108

from typing import assert_type

from typing_shop import (
    Approved,
    Order,
    ReserveStock,
    StockReserved,
    Wrapped,
    label,
    lines_of,
    reserve_line,
    reserve_stock,
    wants_gift,
    wrap_gift,
)

from orchestrator import Flow, Later, block, days, derive, minutes, saga, seconds, step

S = StockReserved


@step(within=seconds(10), irreversible=True)
def of_4(a: S, b: S, c: S, d: S | None) -> ReserveStock:
    return ReserveStock("")


@step(within=seconds(10), irreversible=True, id="widest")
def of_8(a: S, b: S, c: S, d: S, e: S, f: S, g: S, h: Wrapped) -> ReserveStock:
    return ReserveStock("")


@derive
def of_3(a: S, b: Order, c: Wrapped) -> Wrapped | None:
    return None


@derive
def sum_of(a: S, b: S, c: S, d: S, e: S, f: S, g: S, h: S) -> int:
    return 8


@block
def gift(flow: Flow, order: Later[Order], stock: Later[StockReserved]) -> Later[Wrapped]:
    return flow.do(wrap_gift(order, stock))


@block
def wide(flow: Flow, a: Later[S], b: Later[S], c: Later[S], d: Later[S], e: Later[S]) -> Later[S]:
    return a


@saga(version=2, deadline=days(3), keep=days(30), id="everything")
def every_verb(flow: Flow, order: Later[Order]) -> None:
    stock, line, wrapped = flow.parallel(
        reserve_stock(order),
        reserve_line(only(order)),
        gift.named("first")(order, stock_of(order)),
    )
    assert_type(wrapped, Later[Wrapped])
    maybe = flow.when(wants_gift(order), gift(order, stock))
    assert_type(maybe, Later[Wrapped | None])
    either = flow.choose(wants_gift(order), wrap_gift(order, stock), reserve_stock(order))
    assert_type(either, Later[Wrapped | StockReserved])
    lines = flow.each(lines_of(order), reserve_line, at_most=100)
    assert_type(lines, Later[tuple[StockReserved, ...]])
    packed = flow.each(lines_of(order), lambda line: reserve_line(line), at_most=9)
    assert_type(packed, Later[tuple[StockReserved, ...]])
    assert_type(flow.wait(Approved, within=days(2)), Later[Approved])
    assert_type(flow.wait_or_none(Approved, within=days(2)), Later[Approved | None])
    flow.delay(minutes(5))
    attempt = flow.attempt(wrap_gift(order, stock), otherwise=reserve_stock(order))
    assert_type(attempt, Later[Wrapped | StockReserved])
    assert_type(of_3(stock, order, wrapped), Later[Wrapped | None])
    assert_type(sum_of(stock, stock, stock, stock, stock, stock, stock, stock), Later[int])
    flow.do(of_4(stock, line, stock, line))
    flow.do(of_8(stock, stock, stock, stock, stock, stock, stock, wrapped))
    assert_type(flow.do(wide(stock, stock, stock, stock, stock)), Later[StockReserved])
    eight = flow.parallel(label(order, wrapped), label(order, wrapped))
    assert_type(eight, tuple[Later[Wrapped], Later[Wrapped]])


@derive
def only(order: Order) -> str:
    return order.order_id


@derive
def stock_of(order: Order) -> StockReserved:
    return StockReserved(order.order_id)
