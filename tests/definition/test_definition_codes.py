"""Every code of the build: its place, its sentence and its cure, word for word.

Lines are counted from the decorator of the plan (`+3`), so that a test may move.
"""

# ruff: noqa: ARG001, B018, F821, F841, FURB110, ISC004, PLC2401, PLC3002, PLW0108, PT018
# ruff: noqa: RET503, RUF034

import random
import re
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from random import choice

import pytest
from plans import (
    Approved,
    HoldMoney,
    Order,
    ReserveStock,
    Ship,
    Shipped,
    StockReserved,
    Wrapped,
    hold_money,
    label,
    lines_of,
    no_undo,
    reserve_stock,
    ship,
    wants_gift,
    wrap_gift,
)

from orchestrator import (
    Command,
    DefinitionError,
    Done,
    Flow,
    Later,
    Participant,
    Payload,
    Retry,
    block,
    check,
    days,
    definition,
    derive,
    hours,
    minutes,
    saga,
    seconds,
    step,
)
from orchestrator.definition.check import CHECKS, problems_in

HERE = Path(__file__).name
COVERED = set()
plan = saga(version=1, deadline=hours(1))


def said(*sagas, anchor=None):
    """Each problem as text, its lines counted from the first saga's decorator."""
    first = anchor or sagas[0].spec.place.line
    found = problems_in(*(one.sketch() for one in sagas))
    COVERED.update(problem.code for problem in found)

    def from_anchor(match):
        return f"{match[1]}{int(match[2]) - first:+d}"

    texts = [str(problem).replace(f"{HERE}:", "line ", 1) for problem in found]
    pattern = rf"\b((?:{re.escape(HERE)}:)|(?:lines? )|(?:and (?=\d+\)))|(?:of line ))(\d+)"
    return [re.sub(pattern, from_anchor, text) for text in texts]


# --- SG001 and SG1xx: the shape -----------------------------------------------------------------


def test_verbs_that_the_engine_does_not_run_yet_are_refused():
    @plan
    def sub(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    @plan
    def wishes(flow: Flow, order: Later[Order]) -> None:
        flow.wait(Approved, within=days(2))
        flow.wait_or_none(Approved, within=days(2))
        flow.delay(minutes(5))
        flow.attempt(reserve_stock(order), otherwise=hold_money(order))
        flow.do(sub(order))

    refused = "is not supported yet by the engine. Cure:"
    answers = "a step of a participant that answers"
    assert said(wishes) == [
        f"line +2: SG001 `flow.wait` {refused} {answers} when the fact is known.",
        f"line +3: SG001 `flow.wait_or_none` {refused} {answers} when the fact is known.",
        f"line +4: SG001 `flow.delay` {refused} {answers} after the pause.",
        f"line +5: SG001 `flow.attempt` {refused} a result that tells both outcomes apart, "
        "and `flow.choose` on it.",
        f"line +6: SG001 the sub-saga `sub` {refused} make it a `@block`.",
    ]


def test_no_way_back_before_the_pivot():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(no_undo(order))
        flow.pivot(no_undo.named("pivot")(order))
        flow.do(no_undo.named("after")(order))

    assert said(p) == [
        "line +2: SG101 `no_undo` runs before the pivot and has no undo. "
        "Cure: `@no_undo.undo(...)`, or `irreversible=True`."
    ]


def test_irreversible_with_an_undo():
    @step(within=seconds(1), irreversible=True)
    def both(order: Order) -> ReserveStock:
        return ReserveStock("")

    @both.undo(within=seconds(1))
    def undo_both(command: ReserveStock, result: StockReserved | None) -> HoldMoney:
        return HoldMoney(1)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(both(order))

    assert said(p) == ["line -8: SG102 `both` is irreversible but has an undo. Cure: keep one."]


def test_two_places_of_one_name():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        flow.do(reserve_stock(order))
        flow.do(reserve_stock.named("third")(order))

    assert said(p) == [
        f"line +3: SG103 two places are called `reserve_stock` (the other: {HERE}:+2). "
        'Cure: `reserve_stock.named("another_name")` at one.'
    ]


def test_two_places_of_one_block_are_one_mistake():
    @block
    def pair(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        flow.do(hold_money(order))
        return flow.do(reserve_stock(order))

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(pair(order))
        flow.do(pair(order))
        flow.do(pair.named("third")(order))

    assert said(p) == [
        f"line +3: SG103 two places are called `pair` (the other: {HERE}:+2). "
        'Cure: `pair.named("another_name")` at one.'
    ]


def test_a_second_undo():
    @step(within=seconds(1))
    def one(order: Order) -> ReserveStock:
        return ReserveStock("")

    @one.undo(within=seconds(1))
    def undo_one(command: ReserveStock, result: StockReserved | None) -> HoldMoney:
        return HoldMoney(1)

    @one.undo(within=seconds(1))
    def undo_again(command: ReserveStock, result: StockReserved | None) -> HoldMoney:
        return HoldMoney(1)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    assert said(p) == [
        f"line -4: SG104 `one` already has an undo ({HERE}:-8). Cure: keep one.",
    ]


def test_an_undo_that_comes_after_the_build():
    @step(within=seconds(1), irreversible=True)
    def late(order: Order) -> ReserveStock:
        return ReserveStock("")

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(late(order))

    p.build()
    with pytest.raises(
        DefinitionError, match="SG104 `late` gets its undo after it has been built"
    ):

        @late.undo(within=seconds(1))
        def undo_late(command: ReserveStock, result: StockReserved | None) -> HoldMoney:
            return HoldMoney(1)


def test_two_pivots():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.pivot(reserve_stock(order))
        flow.pivot(hold_money(order))

    text = "SG105 `p` has two pivots (lines +2 and +3). Cure: one, in the outer sequence."
    assert said(p)[:1] == [f"line +3: {text}"]


def test_a_pivot_within_a_block_and_a_pivot_that_is_one():
    @block
    def pair(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        return flow.pivot(reserve_stock(order))

    @block
    def plain(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        return flow.do(reserve_stock(order))

    @plan
    def inside(flow: Flow, order: Later[Order]) -> None:
        flow.do(pair(order))

    @plan
    def whole(flow: Flow, order: Later[Order]) -> None:
        flow.pivot(plain(order))

    assert said(inside) == [
        "line -6: SG105 the pivot `reserve_stock` lies inside a block or branch. "
        "Cure: one, in the outer sequence."
    ]
    assert said(whole) == [
        "line +2: SG105 the pivot `plain` is not a single step. "
        "Cure: make the step of no return the pivot, between two blocks."
    ]


def test_a_declared_failure_after_the_pivot():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.pivot(hold_money(order))
        flow.do(reserve_stock(order))

    assert said(p) == [
        "line +3: SG106 `reserve_stock` runs after the pivot but its command declares the failure "
        "`NoStock`: it would leave the saga stuck. Cure: move it before the pivot, or give it a "
        "command that cannot be declined."
    ]


def test_more_time_for_the_steps_than_for_the_saga_is_a_warning():
    @saga(version=1, deadline=seconds(15))
    def p(flow: Flow, order: Later[Order]) -> None:
        stock, _held = flow.parallel(reserve_stock(order), hold_money(order))
        flow.when(wants_gift(order), wrap_gift(stock))
        flow.pivot(ship(stock, flow.when(wants_gift(order), wrap_gift.named("again")(stock))))

    assert said(p) == [
        "line +0: SG107 (warning) the steps' own time limits add up to 30 s, "
        "the saga's deadline is 15 s. Cure: raise the deadline."
    ]
    assert p.build().deadline_ms == 15_000


def test_a_fan_out_without_a_bound():
    @step(within=seconds(1), irreversible=True)
    def line(sku: str) -> ReserveStock:
        return ReserveStock(sku)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.each(lines_of(order), line)

    assert said(p) == [
        "line +2: SG001 `flow.each` is not supported yet by the engine. "
        "Cure: one step whose command carries the whole tuple.",
        "line +2: SG108 a fan-out in `each` has no bound. Cure: `at_most=`.",
    ]


def test_two_sagas_of_one_name_and_version():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    @saga(version=1, deadline=hours(1), id="p")
    def other(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    assert said(p, other) == [
        f"line +4: SG110 `p` v1 is defined twice (the other: {HERE}:+0). "
        "Cure: another `version=` or `id=` at one."
    ]


def test_two_commands_that_a_participant_cannot_tell_apart():
    def another():
        class Ship(Command[Done], to=Participant("carrier")):
            parcel: str

        return Ship

    other = another()

    @step(within=seconds(1), irreversible=True)
    def ship_otherwise(order: Order) -> other:
        return other("")

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        wrapped = flow.do(wrap_gift(flow.do(reserve_stock(order))))
        flow.do(label(wrapped))
        flow.do(ship_otherwise(order))

    assert said(p)[0].endswith(
        f"SG111 two commands to `carrier` are called `Ship` (the other: {Ship.__declared__}). "
        "Cure: rename one of the classes."
    )


def test_a_plan_without_a_step():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        """Do nothing."""

    assert said(p) == ["line +0: SG112 `p` places no step. Cure: `flow.do(...)`."]


def test_a_block_that_places_itself():
    @block
    def again(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        return flow.do(again(order))

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(again(order))

    assert said(p) == [
        "line -2: SG113 the block `again` places itself. Cure: `flow.each(...)`, or end it."
    ]


# --- SG2xx: who reads what ----------------------------------------------------------------------


def test_a_value_of_another_type():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        held = flow.do(hold_money(order))
        flow.do(wrap_gift(held))

    assert said(p) == [
        "line +3: SG201 `wrap_gift` reads `held` as `StockReserved`; it is `Held` (made at line +2). "
        "Cure: hand on the value that is asked for."
    ]


def test_a_value_that_may_be_none():
    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[Wrapped]:
        stock = flow.do(reserve_stock(order))
        wrapped = flow.when(wants_gift(order), wrap_gift(stock))
        flow.do(label(wrapped))
        return wrapped

    assert said(p) == [
        "line +0: SG202 `p` promises `Wrapped`, but `wrap_gift` may be None (`when`, line +3). "
        "Cure: promise `Wrapped | None`, or return what is always there.",
        "line +4: SG202 `label` wants `Wrapped`, but `wrapped` may be None (`when`, line +3). "
        "Cure: accept `Wrapped | None`, or move `label` into the same block.",
    ]


def test_an_undo_that_does_not_fit():
    @step(within=seconds(1))
    def one(order: Order) -> ReserveStock:
        return ReserveStock("")

    @one.undo(within=seconds(1))
    def undo_one(command: ReserveStock, result: StockReserved) -> HoldMoney:
        return HoldMoney(1)

    @step(within=seconds(1))
    def two(order: Order) -> ReserveStock:
        return ReserveStock("")

    @two.undo(within=seconds(1))
    def undo_two(command: HoldMoney, result: Wrapped | None) -> HoldMoney:
        return HoldMoney(1)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))
        flow.do(two(order))

    assert said(p) == [
        "line -12: SG203 `undo_one` wants `StockReserved`; it gets None when the outcome is "
        "unknown. Cure: `StockReserved | None`.",
        "line -4: SG203 `undo_two` undoes `HoldMoney`; `two` sends `ReserveStock`. "
        "Cure: take a `ReserveStock`.",
        "line -4: SG203 `undo_two` wants `Wrapped | None`; `two` results in `StockReserved`. "
        "Cure: `StockReserved | None`.",
    ]


def test_an_undo_may_take_the_command_alone():
    @step(within=seconds(1))
    def one(order: Order) -> ReserveStock:
        return ReserveStock("")

    @one.undo(within=seconds(1))
    def undo_one(command: ReserveStock) -> HoldMoney:
        return HoldMoney(1)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    assert said(p) == []


def test_a_value_from_within_a_block():
    leaked = []

    @block
    def inside(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        leaked[:] = [flow.do(reserve_stock(order))]
        return leaked[0]

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.when(wants_gift(order), inside(order))
        flow.do(wrap_gift(leaked[0]))

    assert said(p) == [
        "line +3: SG204 `wrap_gift` reads `reserve_stock`, which lives in a block that may not have "
        "run. Cure: return it from its block."
    ]


def test_a_call_that_is_never_placed():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        stock = flow.do(reserve_stock(order))
        wrap_gift(stock)

    assert said(p) == [
        "line +3: SG205 `wrap_gift` was called but never placed. "
        "Cure: `flow.do(wrap_gift(stock))`."
    ]


def test_a_call_that_is_placed_twice():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        call = reserve_stock(order)
        flow.do(call)
        flow.do(call)

    assert said(p) == [
        "line +4: SG206 `reserve_stock(...)` of line +2 is placed twice. Cure: call it again."
    ]


def test_a_value_of_another_saga():
    stolen = []

    @plan
    def first(flow: Flow, order: Later[Order]) -> None:
        stolen.append(flow.do(reserve_stock(order)))

    @plan
    def second(flow: Flow, order: Later[Order]) -> None:
        flow.do(wrap_gift(stolen[0]))

    first.build()
    assert said(second) == [
        "line +2: SG207 a value of `first` is used in `second`. "
        "Cure: read values of the same plan only."
    ]


def test_a_call_in_the_place_of_its_result():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        stock = reserve_stock(order)
        flow.do(wrap_gift(stock))

    assert said(p) == [
        "line +3: SG208 `wrap_gift` reads `stock`, a Call that has not been placed. "
        "Cure: `stock = flow.do(reserve_stock(order))`."
    ]


def test_what_is_no_value_and_no_call():
    @plan
    def plain(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(Order("", 1, gift=False)))

    @plan
    def placed(flow: Flow, order: Later[Order]) -> None:
        flow.do(flow.do(reserve_stock(order)))

    @plan
    def truth(flow: Flow, order: Later[Order]) -> None:
        flow.when(True, reserve_stock(order))

    assert said(plain) == [
        "line +2: SG209 `reserve_stock` is given a plain `Order`, which is no value of the plan. "
        "Cure: hand on `Later` values; put a constant into the function itself."
    ]
    assert said(placed) == [
        "line +2: SG209 `flow.do` wants a call; it is given `reserve_stock`, a value that is placed "
        "already. Cure: `flow.do(reserve_seat(trip))`, with a step or block of yours."
    ]
    assert said(truth) == [
        "line +2: SG209 `flow.when` is given a plain `bool`, which is no value of the plan. "
        "Cure: a `@derive` function's value."
    ]


def test_a_plan_or_block_that_returns_nothing_of_use():
    @plan
    def promised(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        flow.do(reserve_stock(order))

    @plan
    def unasked(flow: Flow, order: Later[Order]) -> None:
        return flow.do(reserve_stock(order))

    @block
    def empty(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        flow.do(reserve_stock(order))

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(empty(order))

    cure = "Cure: return a value of the plan, or promise `None`."
    assert said(promised) == [
        "line +0: SG210 `promised` returns nothing; it promises `Later[StockReserved]`. " + cure
    ]
    assert said(unasked) == [
        "line +0: SG210 `unasked` returns a value; it promises nothing. " + cure
    ]
    assert said(p) == [
        "line +2: SG210 the block `empty` returns None. "
        "Cure: return a value of the plan, such as `flow.do(...)`."
    ]


def test_two_values_of_one_class_are_a_warning():
    @step(within=seconds(1), irreversible=True)
    def swap(one: StockReserved, other: StockReserved) -> ReserveStock:
        return ReserveStock("")

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        stock = flow.do(reserve_stock(order))
        flow.do(swap(stock, stock))

    assert said(p) == [
        "line +3: SG211 (warning) `swap` takes two values of `StockReserved`: they could be swapped. "
        "Cure: a payload class for each."
    ]


def test_another_start_payload():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    text = "SG212 `p` starts with a `Order`; it is given a `Wrapped`. Cure: `p.given(Order(...))`."
    with pytest.raises(DefinitionError, match=re.escape(text)):
        p.given(Wrapped("stars"))
    COVERED.add("SG212")


# --- SG3xx: the text of the plan ----------------------------------------------------------------


def test_a_plan_that_raises():
    @plan
    def early(flow: Flow, order: Later[Order]) -> None:
        flow.do(wrap_gift(stock))
        stock = flow.do(reserve_stock(order))

    @plan
    def broken(flow: Flow, order: Later[Order]) -> None:
        reserve_stock(order)
        {}["seat"]

    [first] = said(early)
    assert first.startswith("line +2: SG300 the plan raised `UnboundLocalError: ")
    assert first.endswith(
        "` (a name that is not yet bound: the step comes later, or is a sibling). "
        "Cure: place the step that gives it first."
    )
    assert said(broken) == [
        "line +2: SG205 `reserve_stock` was called but never placed. "
        "Cure: `flow.do(reserve_stock(order))`.",
        "line +3: SG300 the plan raised `KeyError: 'seat'`. "
        "Cure: a plan only hands values on; compute in a step or a `@derive` function.",
    ]


def test_decisions_in_a_plan():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        stock = flow.do(reserve_stock(order))
        if stock is None:
            while stock == order:
                pass
        once = stock if wants_gift else order
        assert stock and order
        try:
            match stock:
                case _:
                    not stock
        finally:
            pass

    @plan
    def asleep(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        bool(order)

    @plan
    async def later(flow: Flow, order: Later[Order]) -> None:
        await flow.do(reserve_stock(order))

    cure = "in a plan is decided once, when the plan is drawn. "
    cure += "Cure: `flow.when`, `flow.choose` or a `@derive` function."
    assert said(p) == [
        f"line +3: SG301 `if` {cure}",
        f"line +4: SG301 `while` {cure}",
        f"line +6: SG301 `if` {cure}",
        f"line +7: SG301 `assert` {cure}",
        f"line +8: SG301 `try` {cure}",
        f"line +9: SG301 `match` {cure}",
        f"line +11: SG301 `not` {cure}",
    ]
    assert said(asleep) == [
        "line +3: SG301 a decision in a plan is taken once, when the plan is drawn. "
        "Cure: `flow.when`, `flow.choose` or a `@derive` function."
    ]
    assert said(later) == [f"line +1: SG301 `async` {cure}", f"line +2: SG301 `await` {cure}"]


def test_decisions_in_a_block():
    @block
    def careful(flow: Flow, order: Later[Order]) -> Later[StockReserved]:
        stock = flow.do(reserve_stock(order))
        return stock if stock else stock

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(careful(order))

    assert [text.partition(" in a plan")[0] for text in said(p)] == ["line -2: SG301 `if`"]


def test_loops_in_a_plan():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        for name in ("a", "b"):
            flow.do(reserve_stock.named(name)(order))
        [line for line in lines_of(order)]  # noqa: C416

    @plan
    def hidden(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        list(lines_of(order))

    text = "SG302 `for` in a plan runs once, when the plan is drawn. Cure: `flow.each(...)`."
    assert said(p) == [f"line +3: {text}", f"line +5: {text}"]
    assert said(hidden) == [
        "line +3: SG302 this list is known only when the saga runs. Cure: `flow.each(...)`."
    ]


@pytest.mark.parametrize(
    ("look", "what"),
    [
        (lambda order: order.gift, "`.gift`"),
        (lambda order: order["gift"], "`['gift']`"),
        (len, "`len(...)`"),
        (lambda order: f"{order}", "the text of this value"),
        (lambda order: reserve_stock(order).shelf, "`.shelf`"),
    ],
)
def test_looking_into_a_value(look, what):
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))
        look(order)

    [text] = said(p)
    assert text.endswith(
        f": SG303 {what} is not known yet. Cure: read it in a step or a `@derive` function."
    )


def test_a_plan_without_source():
    names = {"saga": saga, "Flow": Flow, "Later": Later, "Order": Order, "hours": hours}
    text = (
        "@saga(version=1, deadline=hours(1))\n"
        "def p(flow: Flow, order: Later[Order]) -> None:\n"
        "    flow.do(reserve_stock(order))\n"
    )
    exec(compile(text, "nowhere.py", "exec"), {**names, "reserve_stock": reserve_stock}, names)
    p = names["p"]
    assert [str(problem) for problem in check(p)] == [
        "nowhere.py:1: SG304 (warning) the source of `p` is not at hand, so an `if` or `for` in it "
        "cannot be seen. Cure: run `saga check` where the source is."
    ]
    COVERED.add("SG304")


def draw_lots(order: Order) -> ReserveStock:
    return ReserveStock(random.choice(order.lines))


def choose_one(order: Order) -> ReserveStock:
    return ReserveStock("".join(choice(order.lines) for _ in range(2)))


def ask_the_clock(order: Order) -> ReserveStock:
    return ReserveStock(str(datetime.now()))  # noqa: DTZ005


def do_sums(order: Order) -> ReserveStock:
    return ReserveStock(str(datetime(2020, 1, 1) + timedelta(order.total_cents)))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("function", "name"),
    [(draw_lots, "random"), (choose_one, "choice"), (ask_the_clock, "datetime"), (do_sums, None)],
)
def test_functions_that_are_not_pure_are_a_warning(function, name):
    one = step(within=seconds(1), irreversible=True)(function)

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    assert said(p, anchor=function.__code__.co_firstlineno) == (
        [
            f"line +0: SG305 (warning) `{function.__name__}` uses `{name}`: asked again, it would "
            "answer otherwise. Cure: give the saga what it needs in its start payload, or ask a "
            "participant."
        ]
        if name
        else []
    )


# --- SG4xx: versions (the lock file's are in test_definition_lock.py) -----------------------------


def test_a_version_that_follows_what_it_cannot():
    @plan
    def p_v1(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    @saga(version=2, deadline=hours(1), follows=p_v1)
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    @saga(version=1, deadline=hours(1), follows=p_v1, id="p_v1")
    def same(flow: Flow, order: Later[Order]) -> None:
        flow.do(reserve_stock(order))

    assert said(p) == [
        "line +0: SG405 `p` v2 follows `p_v1`, which is another saga. "
        'Cure: `@saga(id="p", ...)` at the older one.'
    ]
    assert said(same) == ["line +0: SG405 `p_v1` v1 follows v1. Cure: `version=2`."]


# --- SG5xx: the declarations ----------------------------------------------------------------------


class Colour(StrEnum):
    RED = "red"


class Spaced(StrEnum):
    ODD = "not a name"


class Inner(Payload):
    count: int


class Fine(Payload):
    a: str
    b: int | None
    c: tuple[Inner, ...]
    d: dict[str, float]
    e: Colour
    f: bytes
    g: bool = False


class Unfit(Payload):
    a: datetime
    b: list[str]
    c: Inner | Fine
    d: tuple[int, str]
    e: Spaced
    größe: int


class Endless(Payload):
    next: "Endless | None"


class Unknown(Payload):
    a: "Nowhere"


def test_what_can_travel():
    @derive
    def fine(order: Order) -> Fine | None:
        return None

    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[Fine | None]:
        flow.do(reserve_stock(order))
        return fine(order)

    assert said(p) == []


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (
            Unfit,
            [
                "`größe` in `Unfit` is no name that other languages can read. "
                "Cure: letters, digits and `_`.",
                "`Unfit.a` is `datetime`, which cannot be encoded. Cure: `str`",
                "`Unfit.b` is `list[str]`, which cannot be encoded. Cure: `str`",
                "`Unfit.c` is `Inner | Fine`, which cannot be encoded. Cure: `str`",
                "`Unfit.d` is `tuple[int, str]`, which cannot be encoded. Cure: `str`",
                "`Unfit.e` is `Spaced`, which cannot be encoded. Cure: `str`",
            ],
        ),
        (
            Endless,
            ["`Endless.next` holds a `Endless` again, which cannot be encoded. Cure: a flat"],
        ),
        (
            Unknown,
            [
                "the fields of `Unknown` cannot be read: their annotations raise "
                "`NameError: name 'Nowhere' is not defined`. "
                "Cure: define the types at module level and import them at run time."
            ],
        ),
    ],
)
def test_what_cannot_travel(kind, texts):
    @derive
    def give(order: Order) -> kind:
        return kind()

    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[kind]:
        flow.do(reserve_stock(order))
        return give(order)

    found = said(p, anchor=kind.__declared__.line)
    for got, text in zip(found, texts, strict=True):
        assert got.startswith(f"line +0: SG501 {text}")


def test_a_derived_value_that_cannot_travel():
    @derive
    def when(order: Order) -> datetime:
        return datetime(2020, 1, 1)  # noqa: DTZ001

    @step(within=seconds(1), irreversible=True)
    def use(at: datetime) -> ReserveStock:
        return ReserveStock("")

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(use(when(order)))

    [text] = said(p)
    assert text.startswith(
        "line -8: SG501 `when` gives `datetime`, which cannot be encoded. Cure:"
    )


def test_annotations_that_cannot_be_read():
    @step(within=seconds(1), irreversible=True)
    def bare(order) -> ReserveStock:
        return ReserveStock("")

    @step(within=seconds(1), irreversible=True)
    def unknown(order: "Elsewhere") -> ReserveStock:
        return ReserveStock("")

    @step(within=seconds(1), irreversible=True)
    def keyword(*, order: Order) -> ReserveStock:
        return ReserveStock("")

    @derive
    def silent(order: Order):
        return True

    @saga(version=1, deadline=hours(1))
    def p(flow: Flow, order: Order) -> None:
        flow.when(silent(order), bare(order))
        flow.do(unknown(order))
        flow.do(keyword(order))

    assert said(p) == [
        "line -16: SG502 `bare` cannot be read: its parameter `order` has no annotation. "
        "Cure: annotate it.",
        "line -12: SG502 `unknown` cannot be read: its annotations raise "
        "`NameError: name 'Elsewhere' is not defined`. Cure: define the types at module level and "
        "import them at run time, not only under `TYPE_CHECKING`.",
        "line -8: SG502 `keyword` cannot be read: its parameter `order` is not positional. "
        "Cure: make it positional.",
        "line -4: SG502 `silent` cannot be read: its return type is not annotated. "
        "Cure: annotate it.",
        "line +0: SG502 `p` takes `order` as `Order`. Cure: annotate it as `Later[...]`.",
    ]


def test_a_step_that_gives_no_command():
    @step(within=seconds(1), irreversible=True)
    def text(order: Order) -> str:
        return ""

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(text(order))

    assert said(p) == [
        "line -4: SG503 `text` gives `str`, no command. "
        "Cure: return a class of `Command[Result, Failure]`."
    ]


def test_a_wrong_number_of_parameters():
    @step(within=seconds(1), irreversible=True)
    def nine(a: Order, b: str, c: str, d: str, e: str, f: str, g: str, h: str, i: str) -> Ship:  # noqa: PLR0917
        return Ship("", "")

    @plan
    def p(flow: Flow, order: Later[Order], more: Later[Order]) -> None:
        flow.do(nine(order))

    @plan
    def q(flow: Flow, order: Later[Order]) -> None:
        flow.do(nine._call(order))

    [first, second] = said(p)
    assert first == "line +0: SG504 `p` has 3 parameters. Cure: take 2."
    assert second.startswith("line +2: SG300 the plan raised `TypeError: Step8.__call__() missing")
    assert said(q)[0].endswith("SG504 `nine` has 9 parameters. Cure: take 1 to 8.")


class Odd(Command[str, int], to=Participant("odd")):
    sku: str


def test_answers_that_are_no_payloads():
    @step(within=seconds(1), irreversible=True)
    def odd(order: Order) -> Odd:
        return Odd("")

    @plan
    def p(flow: Flow, order: Later[Order]) -> Later[str]:
        return flow.do(odd(order))

    cure = "Cure: `Command[Result, Failure]`, each a class of `Payload`."
    assert said(p, anchor=Odd.__declared__.line)[:2] == [
        f"line +0: SG505 the failure of `Odd` is `int`, no payload. {cure}"
        if number
        else f"line +0: SG505 the result of `Odd` is `str`, no payload. {cure}"
        for number in range(2)
    ]
    assert said(p)[2:] == [
        "line +0: SG505 the outcome of `p` is `str`, not one payload class. "
        "Cure: a class of `Payload`."
    ]


class Far(Command[Done], to=Participant("über all")):
    sku: str


def test_names_that_ids_cannot_carry():
    @step(within=seconds(1), irreversible=True, id="a/b")
    def slash(order: Order) -> Far:
        return Far("")

    @saga(version=1, deadline=hours(1), id="")
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(slash(order))

    @saga(version=1, deadline=hours(1), id="x" * 129)
    def q(flow: Flow, order: Later[Order]) -> None:
        flow.do((lambda order: slash.named("é")(order))(order))

    rest = "has a name that ids and topics cannot carry. Cure: letters, digits, `_` and `-`; 128 at most."
    found = said(p)
    assert found[0].endswith(f"SG507 the participant `über all` {rest}")
    assert found[1:] in (
        [f"line +0: SG507 the saga `p` {rest}", f"line +2: SG507 the step `a/b` {rest}"],
        [f"line +2: SG507 the step `a/b` {rest}"],
    )
    assert said(q)[1:] == [
        f"line +0: SG507 the saga `{'x' * 129}` {rest}",
        f"line +2: SG507 the step `é` {rest}",
    ]


@pytest.mark.parametrize(
    ("retry", "trouble"),
    [
        (Retry(attempts=0), "`attempts` is 0, which is less than 1"),
        (Retry(first=timedelta(seconds=-1)), "a pause is negative"),
        (Retry(factor=0.5), "`factor` is 0.5, which is not a number of at least 1"),
        (
            Retry.forever(factor=float("inf")),
            "`factor` is inf, which is not a number of at least 1",
        ),
    ],
)
def test_retries_that_make_no_sense(retry, trouble):
    @step(within=seconds(1), irreversible=True, retry=retry)
    def one(order: Order) -> ReserveStock:
        return ReserveStock("")

    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    assert said(p) == [f"line -4: SG508 in the `retry` of `one` {trouble}. Cure: mend it."]


def test_durations_and_versions_that_make_no_sense():
    @step(within=seconds(0), irreversible=True)
    def one(order: Order) -> ReserveStock:
        return ReserveStock("")

    @saga(version=0, deadline=seconds(-1), keep=seconds(0))
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(one(order))

    assert [text.partition(" Cure")[0] for text in said(p) if "SG508" in text] == [
        "line -4: SG508 `within` of `one` is 0 ms.",
        "line +0: SG508 `p` has version 0.",
        "line +0: SG508 `deadline` of `p` is minus 1 s.",
        "line +0: SG508 `keep` of `p` is 0 ms.",
    ]


# --- together -------------------------------------------------------------------------------------


def test_every_mistake_of_every_saga_is_reported_at_once():
    @plan
    def one(flow: Flow, order: Later[Order]) -> None:
        flow.do(no_undo(order))
        wrap_gift(flow.do(hold_money(order)))

    @plan
    def two(flow: Flow, order: Later[Order]) -> Later[Shipped]:
        if order:
            return flow.do(reserve_stock(order))

    with pytest.raises(DefinitionError) as caught:
        check(one, two)
    assert [problem.code for problem in caught.value.problems] == [
        "SG101",
        "SG201",
        "SG205",
        "SG201",
        "SG301",
    ]


def test_a_mended_plan_is_drawn_anew():
    @plan
    def p(flow: Flow, order: Later[Order]) -> None:
        flow.do(again(order))

    @step(within=seconds(1))
    def again(order: Order) -> ReserveStock:
        return ReserveStock("")

    assert [problem.code for problem in p.problems()] == ["SG101"]

    @again.undo(within=seconds(1))
    def undo_again(command: ReserveStock, result: StockReserved | None) -> HoldMoney:
        return HoldMoney(1)

    assert p.problems() == ()


def test_every_code_is_seen_in_these_tests():
    assert set(CHECKS) - COVERED == set()


def test_every_code_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "define-a-saga.md").read_text()
    told = set(re.findall(r"^\| (SG\d+) \|", page, re.MULTILINE))
    source = "".join(path.read_text() for path in Path(definition.__path__[0]).glob("*.py"))
    assert told == set(re.findall(r'"(SG\d+)"', source))
