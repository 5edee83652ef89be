"""What the build refuses: one function per code, in a table.

Each function looks at a drawn plan and gives the problems it finds; none of them raises. The texts
follow one pattern: a sentence that names both sides, and a cure that can be typed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from orchestrator.definition import check_declared, check_reads, check_shape, check_text
from orchestrator.definition.looking import Problems
from orchestrator.definition.plan import Sketch
from orchestrator.definition.problem import Problem, Severity

CHECKS: dict[str, Callable[[Sketch], Problems]] = {
    look.__name__.upper(): look
    for part in (check_shape, check_reads, check_text, check_declared)
    for look in part.CHECKS
}
"""What is looked for in each definition, by code."""


CONSEQUENCES = frozenset({"SG300", "SG301", "SG302", "SG303"})
"""What a decision or a loop in a plan leads to when the plan is drawn; SG300 of any mistake."""


def problems_in(*sketches: Sketch) -> tuple[Problem, ...]:
    """Give every problem of these definitions, each once, in the order of the text."""
    found = chain.from_iterable(_problems_of(sketch) for sketch in sketches)
    both = dict.fromkeys([*found, *check_shape.sg110(sketches), *check_shape.sg111(sketches)])
    return tuple(sorted(both, key=lambda problem: (problem.place, problem.code)))


def errors_in(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Leave the warnings out."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


def _problems_of(sketch: Sketch) -> Problems:
    found = [problem for look in CHECKS.values() for problem in look(sketch)]
    yield from found
    # What the drawing ran into is often the consequence of a statement that the text has shown.
    shown = {problem.place for problem in found if problem.code in {"SG301", "SG302"}}
    told = sketch.drawing.told
    explained = shown | {problem.place for problem in told if problem.code != "SG300"}
    for problem in told:
        reasons = explained if problem.code == "SG300" else shown
        if problem.place not in reasons or problem.code not in CONSEQUENCES:
            yield problem
