"""Plans as nobody should write them: each ends in a report, never in a crash or a loop."""

# ruff: noqa: ARG005, SIM105

import sys

import pytest
from plans import Order, ReserveStock, StockReserved, reserve_stock, wants_gift

from orchestrator import DefinitionError, Flow, Later, block, hours, saga, seconds, step

plan = saga(version=1, deadline=hours(1))


def codes(one):
    return [problem.code for problem in one.problems()]


def test_a_lambda_as_a_step():
    one = step(within=seconds(1), irreversible=True)(lambda order: ReserveStock(""))

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    assert codes(p) == ["SG502", "SG507"]


def test_a_lambda_as_a_plan():
    assert "SG502" in codes(plan(lambda flow, order: flow.do(reserve_stock(order))))


def test_a_block_that_places_itself():
    @block
    def again(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        return flow.do(again(order))

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(again(order))

    assert codes(p) == ["SG113"]


def test_a_generator_as_a_plan():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        yield flow.do(reserve_stock(order))

    assert codes(p) == ["SG301"]


def test_a_plan_that_leaves_the_program():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        sys.exit("enough")

    assert codes(p) == ["SG300"]


def test_a_plan_that_hides_what_it_is_told():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        try:
            order.gift  # noqa: B018
        except DefinitionError:
            pass

    assert codes(p) == ["SG301", "SG303"]


def test_a_plan_that_keeps_the_flow_for_later():
    kept = []

    @block
    def inside(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        kept.append((flow, order))
        return flow.do(reserve_stock(order))

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.when(wants_gift(order), inside(order))

    tree = p.build()
    flow, order = kept[0]
    flow.do(reserve_stock.named("afterwards")(order))
    assert [step.id for step in p.build().steps] == ["inside.reserve_stock"]
    assert p.build() is tree


def test_a_call_outside_of_any_plan():
    with pytest.raises(DefinitionError, match="SG209 `reserve_stock` is given a plain `Order`"):
        reserve_stock(Order("", 1, gift=False))


def test_a_thousand_steps():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        for number in range(1_000):
            flow.do(reserve_stock.named(f"step_{number}")(order))

    assert codes(p) == ["SG107", "SG302"]


def test_blocks_within_blocks():
    def wrapped(inner, depth):
        def around(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
            return flow.do(inner(order))

        return block(around).named(f"b{depth}")

    call = reserve_stock
    for depth in range(40):
        call = wrapped(call, depth)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(call(order))

    [step] = p.build().steps
    assert step.id == ".".join([*(f"b{depth}" for depth in reversed(range(40))), "reserve_stock"])
    assert len(step.id) < 256
