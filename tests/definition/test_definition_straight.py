"""The other form in which a plan with decisions, or one that raises, is drawn."""

# ruff: noqa: F841, RET505

from contextlib import nullcontext

import pytest
from plans import (
    Held,
    Order,
    StockReserved,
    hold_money,
    label,
    no_undo,
    reserve_stock,
    wants_gift,
    wrap_gift,
)

from orchestrator import Flow, Later, block, hours, saga

plan = saga(version=1, deadline=hours(1))


def told(one):
    """Code and line, counted from the decorator."""
    return [f"{p.code} +{p.place.line - one.spec.place.line}" for p in one.problems()]


def test_every_arm_and_its_return():
    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[Held]:
        if wants_gift(order):
            return flow.do(reserve_stock(order))
        elif order is None:
            return flow.do(hold_money(order))
        else:
            flow.do(no_undo(order))
        raise ValueError

    assert told(p) == ["SG201 +0", "SG301 +2", "SG301 +4", "SG101 +7", "SG300 +8"]


def test_every_arm_of_match_and_try():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        try:
            stock = flow.do(hold_money(order))
        except ValueError as error:
            flow.do(no_undo.named(str(error))(order))
        finally:
            flow.do(wrap_gift(stock))
        match stock:
            case Held(hold=known):
                flow.do(label(known))
            case [_, *rest]:
                flow.do(label.named("rest")(rest))
            case {"hold": _, **others}:
                flow.do(wrap_gift.named("others")(stock))

    found = told(p)
    assert found[:4] == ["SG301 +2", "SG101 +5", "SG507 +5", "SG201 +7"]
    assert found[4:] == ["SG301 +8", "SG201 +14"]


def test_loops_end():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        while not order:
            if order:
                break
            flow.do(no_undo(order))
        else:
            flow.do(no_undo.named("other")(order))
        while True:
            continue

    assert told(p) == ["SG301 +2", "SG301 +3", "SG101 +5", "SG101 +7", "SG301 +8"]


def test_without_its_text_a_plan_is_drawn_as_far_as_it_goes():
    text = (
        "@plan\n"
        "def p(flow: Flow, order: Later[Order]) -> None:\n"
        "    while order: flow.do(no_undo(order))\n"
        "    a, b = order\n"
        "    flow.do(no_undo.named('other')(b.name.strip()))\n"
        "    {}['x']\n"
        "    hold_money(order)\n"
    )
    names = {"plan": plan, "no_undo": no_undo, "hold_money": hold_money}
    names |= {"Flow": Flow, "Later": Later, "Order": Order}
    exec(compile(text, "nowhere_at_all.py", "exec"), names)
    found = told(names["p"])
    assert found[:4] == ["SG304 +0", "SG101 +2", "SG301 +2", "SG302 +3"]
    assert found[-1] == "SG300 +5"


def test_calculations_with_what_is_not_known():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        total = order.total_cents
        more = total + 1
        rest = 10 - order
        text = f"{more:>3}".strip() + str(rest)
        count = [*range(total)]
        half = float(more / 2)
        flow.do(wrap_gift(half))
        flow.do(label(text))
        for _ in range(len(order)):
            flow.do(no_undo(order))
        flow.do(no_undo.named(f"{rest}")(count))

    assert told(p) == ["SG303 +2", "SG303 +4", "SG302 +10", "SG101 +11"]


def test_a_raising_statement_excuses_only_its_own_calls():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        call = hold_money(order)
        no_undo(order)
        flow.do(call, {}["more"])
        with nullcontext():
            flow.do(wrap_gift(reserve_stock(order, {}["less"])))
        flow.do(wrap_gift(missing))  # noqa: F821

    assert told(p) == ["SG101 +3", "SG205 +3", "SG300 +4", "SG300 +6", "SG300 +7"]


def test_closures_defaults_and_blocks_keep_what_they_have():
    names = ("here",)

    @block
    def inner(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        {}["in the block"]
        flow.do(no_undo.named(names[0])(order))
        return flow.do(reserve_stock(order))

    def p(flow: Flow, order: Later[Order], *, again=inner) -> None:
        {}["in the plan"]
        flow.do(again(order))
        flow.do(wrap_gift(flow.do(inner.named("second")(order))))

    codes = [problem.code for problem in plan(p).problems()]
    assert codes.count("SG300") == 2
    assert codes.count("SG101") == 2


async def drawn_too(flow: Flow, order: Later[Order]) -> None:
    async with flow.do(no_undo(order)):
        await flow.do(wrap_gift(order))


def generated(flow: Flow, order: Later[Order]) -> None:
    yield flow.do(no_undo(order))
    yield from flow.do(wrap_gift(order))


@pytest.mark.parametrize("function", [drawn_too, generated])
def test_plans_of_other_kinds_are_drawn_as_well(function):
    codes = {problem.code for problem in plan(function).problems()}
    assert {"SG101", "SG201", "SG301"} <= codes
