"""SG3xx: the text of a plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.definition import syntax
from orchestrator.definition.looking import Problems, pure_functions_of
from orchestrator.definition.plan import Sketch
from orchestrator.definition.problem import Place, Problem, Severity, place_of


def sg301(sketch: Sketch) -> Problems:
    """A decision that would be taken once, when the plan is drawn."""
    for place, banned in _banned(sketch):
        if not banned.loops:
            text = f"`{banned.word}` in a plan is decided once, when the plan is drawn"
            cure = "`flow.when`, `flow.choose` or a `@derive` function"
            yield Problem("SG301", place, text, cure)


def sg302(sketch: Sketch) -> Problems:
    """A loop that would run once, when the plan is drawn."""
    for place, banned in _banned(sketch):
        if banned.loops:
            text = "`for` in a plan runs once, when the plan is drawn"
            yield Problem("SG302", place, text, "`flow.each(...)`")


def sg304(sketch: Sketch) -> Problems:
    """No text to look at."""
    for function, place in _drawn_functions(sketch).items():
        if syntax.source_of(function) is None:
            text = (
                f"the source of `{function.__name__}` is not at hand, "
                "so an `if` or `for` in it cannot be seen"
            )
            cure = "run `saga check` where the source is"
            yield Problem("SG304", place, text, cure, Severity.WARNING)


def sg305(sketch: Sketch) -> Problems:
    """A pure function that is none."""
    for function in pure_functions_of(sketch):
        names = " and ".join(f"`{name}`" for name in syntax.impurities_of(function))
        if names:
            text = f"`{function.__name__}` uses {names}: asked again, it would answer otherwise"
            cure = "give the saga what it needs in its start payload, or ask a participant"
            yield Problem("SG305", place_of(function), text, cure, Severity.WARNING)


def _drawn_functions(sketch: Sketch) -> dict[Callable[..., Any], Place]:
    found = {sketch.spec.function: sketch.spec.place}
    for block in sketch.drawing.blocks:
        found.setdefault(block.spec.function, block.spec.place)
    return found


def _banned(sketch: Sketch) -> Iterator[tuple[Place, syntax.Banned]]:
    for function, place in _drawn_functions(sketch).items():
        source = syntax.source_of(function)
        if source is not None:
            for banned in syntax.banned_in(source):
                yield Place(place.file, banned.line), banned


CHECKS = (sg301, sg302, sg304, sg305)
