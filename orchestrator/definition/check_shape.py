"""SG001 and SG1xx: the shape of a definition."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from itertools import chain
from typing import Any

from orchestrator.definition import durations, kinds
from orchestrator.definition.drawing import (
    BlockMark,
    ChooseMark,
    Mark,
    ParallelMark,
    Scope,
    StepMark,
)
from orchestrator.definition.looking import (
    Problems,
    after_pivot,
    answers_of,
    before_pivot,
    commands_of,
    specs_of,
)
from orchestrator.definition.payload import Command, participant_of
from orchestrator.definition.plan import SagaSpec, Sketch
from orchestrator.definition.problem import Place, Problem, Severity


def sg001(sketch: Sketch) -> Problems:
    """A verb that the engine does not run yet."""
    for what, place, cure in sketch.drawing.unsupported:
        yield Problem("SG001", place, f"{what} is not supported yet by the engine", cure)


def sg101(sketch: Sketch) -> Problems:
    """No way back before the pivot."""
    for step in before_pivot(sketch):
        spec = step.spec
        if spec.undo is None and not spec.irreversible:
            text = f"`{step.id}` runs before the pivot and has no undo"
            cure = f"`@{spec.function.__name__}.undo(...)`, or `irreversible=True`"
            yield Problem("SG101", step.place, text, cure)


def sg102(sketch: Sketch) -> Problems:
    """Irreversible, and yet an undo."""
    for spec in specs_of(sketch):
        if spec.irreversible and spec.undo is not None:
            text = f"`{spec.name}` is irreversible but has an undo"
            yield Problem("SG102", spec.place, text, "keep one")


def sg103(sketch: Sketch) -> Problems:
    """Two places of one name. Of two blocks only the blocks are reported, not all their steps."""
    seen: dict[str, Place] = {}
    twice: set[str] = set()
    marks: list[BlockMark | StepMark] = [*sketch.drawing.blocks, *sketch.drawing.steps]
    for mark in marks:
        parent = mark.id.rpartition(".")[0]
        if parent in twice:
            twice.add(mark.id)
            continue
        first = seen.setdefault(mark.id, mark.place)
        if first is not mark.place:
            twice.add(mark.id)
            name = mark.spec.function.__name__
            text = f"two places are called `{mark.id}` (the other: {first})"
            yield Problem("SG103", mark.place, text, f'`{name}.named("another_name")` at one')


def sg104(sketch: Sketch) -> Problems:
    """A second undo."""
    for spec in specs_of(sketch):
        for undo in spec.undone_again:
            first = spec.undo.place if spec.undo is not None else spec.place
            text = f"`{spec.name}` already has an undo ({first})"
            yield Problem("SG104", undo.place, text, "keep one")


def sg105(sketch: Sketch) -> Problems:
    """More than one pivot, or one that is not a step of the outer sequence."""
    drawing = sketch.drawing
    for number, pivot in enumerate(drawing.pivots):
        if number:
            lines = f"lines {drawing.pivots[0].place.line} and {pivot.place.line}"
            text = f"`{sketch.spec.id}` has two pivots ({lines})"
            yield Problem("SG105", pivot.place, text, "one, in the outer sequence")
        elif pivot.scope is not drawing.root:
            text = f"the pivot `{pivot.name}` lies inside a block or branch"
            yield Problem("SG105", pivot.place, text, "one, in the outer sequence")
        if pivot.mark is not None and not isinstance(pivot.mark, StepMark):
            text = f"the pivot `{pivot.name}` is not a single step"
            cure = "make the step of no return the pivot, between two blocks"
            yield Problem("SG105", pivot.place, text, cure)


def sg106(sketch: Sketch) -> Problems:
    """A declared failure where there is no way back."""
    for step in after_pivot(sketch):
        for failure in answers_of(step.spec)[1]:
            text = (
                f"`{step.id}` runs after the pivot but its command declares the failure "
                f"`{kinds.say(failure)}`: it would leave the saga stuck"
            )
            cure = "move it before the pivot, or give it a command that cannot be declined"
            yield Problem("SG106", step.place, text, cure)


def sg107(sketch: Sketch) -> Problems:
    """The time limits of the steps against the saga's own: those that the deadline can still stop."""
    total, spec = _longest(sketch, sketch.drawing.root), sketch.spec
    if total > spec.deadline:
        text = (
            f"the steps' own time limits add up to {durations.say(total)}, "
            f"the saga's deadline is {durations.say(spec.deadline)}"
        )
        yield Problem("SG107", spec.place, text, "raise the deadline", Severity.WARNING)


def sg108(sketch: Sketch) -> Problems:
    """A fan-out without a bound."""
    for place in sketch.drawing.unbounded:
        yield Problem("SG108", place, "a fan-out in `each` has no bound", "`at_most=`")


def sg112(sketch: Sketch) -> Problems:
    """A plan that does nothing. Held back when it did not reach its end, or lost its calls."""
    drawing = sketch.drawing
    if sketch.whole and not (drawing.calls or drawing.unsupported or drawing.told):
        text = f"`{sketch.spec.id}` places no step"
        yield Problem("SG112", sketch.spec.place, text, "`flow.do(...)`")


def sg110(sketches: Iterable[Sketch]) -> Problems:
    """Two sagas of one id and version."""
    seen: dict[tuple[str, int], SagaSpec] = {}
    for spec in dict.fromkeys(sketch.spec for sketch in sketches):
        first = seen.setdefault((spec.id, spec.version), spec)
        if first is not spec:
            text = f"`{spec.id}` v{spec.version} is defined twice (the other: {first.place})"
            cure = "another `version=` or `id=` at one"
            yield Problem("SG110", spec.place, text, cure)


def sg111(sketches: Iterable[Sketch]) -> Problems:
    """Two command classes that a participant could not tell apart."""
    seen: dict[tuple[str, str], type[Command[Any, Any]]] = {}
    for command in dict.fromkeys(chain.from_iterable(commands_of(sketch) for sketch in sketches)):
        name = participant_of(command).name
        first = seen.setdefault((name, command.__name__), command)
        if first is not command:
            text = (
                f"two commands to `{name}` are called `{command.__name__}` "
                f"(the other: {first.__declared__})"
            )
            yield Problem("SG111", command.__declared__, text, "rename one of the classes")


def _longest(sketch: Sketch, scope: Scope) -> timedelta:
    # The deadline stops nothing once the pivot is requested.
    before = set(map(id, before_pivot(sketch)))

    def of_scope(scope: Scope) -> timedelta:
        return sum(map(of_mark, scope.marks), timedelta(0))

    def of_mark(mark: Mark) -> timedelta:
        match mark:
            case StepMark():
                return mark.spec.within if id(mark) in before else timedelta(0)
            case BlockMark():
                return of_scope(mark.inside)
            case ParallelMark():
                return max(map(of_scope, mark.branches), default=timedelta(0))
            case ChooseMark():
                then = of_scope(mark.then)
                return then if mark.otherwise is None else max(then, of_scope(mark.otherwise))

    return of_scope(scope)


CHECKS = (sg001, sg101, sg102, sg103, sg104, sg105, sg106, sg107, sg108, sg112)
