"""Mermaid and SVG: what stands in them, that hostile names stay names, and that nothing overlaps."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from book_trip_plan import book_trip
from plans import (
    Order,
    Shipped,
    StockReserved,
    Wrapped,
    hold_money,
    reserve_stock,
    ship,
    wants_gift,
    wrap_gift,
)

from orchestrator import Flow, Later, block, days, saga
from orchestrator.core.definition import Choose, Definition, Given, Parallel, Sequence, Step
from orchestrator.definition.graph import mermaid
from orchestrator.definition.picture import svg

GOLDEN = Path(__file__).parent / "golden"
SVG = "{http://www.w3.org/2000/svg}"


@block
def gift(flow: Flow, order: Later[Order], stock: Later[StockReserved]) -> Later[Wrapped]:
    flow.do(hold_money.named("price_of_wrapping")(order))
    return flow.do(wrap_gift(stock))


@saga(version=3, deadline=days(3))
def fulfil_order(flow: Flow, order: Later[Order]) -> Later[Shipped]:
    stock, _held = flow.parallel(reserve_stock(order), hold_money(order))
    wrapped = flow.when(wants_gift(order), gift(order, stock))
    flow.choose(
        wants_gift(order), hold_money.named("more")(order), reserve_stock.named("less")(order)
    )
    flow.pivot(ship.named("hand_over")(stock, wrapped))
    return flow.do(ship(stock, wrapped))


@pytest.mark.parametrize("one", [book_trip, fulfil_order], ids=repr)
@pytest.mark.parametrize(("suffix", "draw"), [("mmd", mermaid), ("svg", svg)])
def test_the_drawings_are_as_they_were_when_last_looked_at(one, suffix, draw):
    assert draw(one.build()) == (GOLDEN / f"{one.id}.{suffix}").read_text()


def odd(name):
    def function(_):
        return b""

    one = Step(
        index=0,
        id=name,
        participant=name,
        command_type=name,
        function=function,
        arguments=(),
        within_ms=1,
    )
    inside = Sequence((one,), name)
    choose = Choose(0, name, Given(), inside, Parallel((Sequence(()), one)))
    return Definition(
        name=name,
        version=1,
        fingerprint=0,
        deadline_ms=1,
        root=Sequence((choose,)),
        input_type=name,
    )


@pytest.mark.parametrize(
    "name", ['"]<script>alert(1)</script>', "a&b;#35;", "end", "", "ümläut 🎈", "x" * 300]
)
def test_names_stay_names(name):
    root = ET.fromstring(svg(odd(name)))
    assert root.find(f"{SVG}title").text == f"{name} v1"
    assert not list(root.iter("script"))
    text = mermaid(odd(name))
    assert "<script>" not in text
    assert text.count('"') % 2 == 0


def boxes(root, x=0.0, y=0.0, kind=""):
    """Every rectangle of the picture, in the picture's own coordinates."""
    for element in root:
        here_x, here_y, here = x, y, element.get("class", kind)
        if shift := element.get("transform"):
            dx, dy = shift.removeprefix("translate(").removesuffix(")").split()
            here_x, here_y = x + float(dx), y + float(dy)
        if element.tag == f"{SVG}rect" and element.get("x"):
            left, top = here_x + float(element.get("x")), here_y + float(element.get("y"))
            width, height = float(element.get("width")), float(element.get("height"))
            yield here, left, top, left + width, top + height
        yield from boxes(element, here_x, here_y, here)


@pytest.mark.parametrize("one", [book_trip, fulfil_order], ids=repr)
def test_nothing_overlaps_and_nothing_is_cut_off(one):
    root = ET.fromstring(svg(one.build()))
    width, height = float(root.get("width")), float(root.get("height"))
    found = list(boxes(root))
    assert all(a >= 0 and b >= 0 and c <= width and d <= height for _, a, b, c, d in found)
    solid = [box for kind, *box in found if kind in {"step", "step pivot", "undo", "end"}]
    assert len(solid) > 5
    for number, (a, b, c, d) in enumerate(solid):
        for e, f, g, h in solid[number + 1 :]:
            assert c <= e or g <= a or d <= f or h <= b


def test_every_step_and_undo_can_be_lit():
    root = ET.fromstring(svg(fulfil_order.build()))
    lit = {(e.get("class"), e.get("data-step")) for e in root.iter() if e.get("data-step")}
    for step in fulfil_order.build().steps:
        assert ("step pivot" if step.pivot else "step", step.id) in lit
        assert (("undo", step.id) in lit) == (step.undo is not None)
