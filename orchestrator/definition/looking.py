"""Looking about in a drawn plan: what the checks have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, TypeAlias

from orchestrator.definition import kinds
from orchestrator.definition.declared import StepSpec, UndoSpec
from orchestrator.definition.drawing import Read, StepMark, Use
from orchestrator.definition.payload import Command, Payload
from orchestrator.definition.plan import Sketch
from orchestrator.definition.problem import Problem

Problems: TypeAlias = Iterator[Problem]


def specs_of(sketch: Sketch) -> tuple[StepSpec, ...]:
    """Give the steps that a plan places, and those that it forgets to place, each once."""
    placed = [step.spec for step in sketch.drawing.steps]
    called = [call.spec for call in sketch.drawing.calls if call.spec is not None]
    return tuple(dict.fromkeys([*placed, *called]))


def undos_of(sketch: Sketch) -> Iterator[tuple[StepSpec, UndoSpec]]:
    """Give the compensations with their steps, also those that are one too many."""
    for spec in specs_of(sketch):
        first = () if spec.undo is None else (spec.undo,)
        for undo in (*first, *spec.undone_again):
            yield spec, undo


def answers_of(spec: StepSpec) -> tuple[Any, tuple[Any, ...]]:
    """Give the result and the declared failures of a step's command."""
    command = spec.signature.gives
    return kinds.answers_of(command) if kinds.is_command(command) else (Any, ())


def is_payload(kind: Any) -> bool:
    """Say whether a type is a payload's class."""
    return isinstance(kind, type) and issubclass(kind, Payload)


def commands_of(sketch: Sketch) -> tuple[type[Command[Any, Any]], ...]:
    """Give the command classes that a plan may send, each once."""
    given = [spec.signature.gives for spec in specs_of(sketch)]
    given += [undo.signature.gives for _, undo in undos_of(sketch)]
    return tuple(dict.fromkeys(kind for kind in given if kinds.is_command(kind)))


def payloads_of(sketch: Sketch) -> tuple[type[Payload], ...]:
    """Give every payload class that travels with a saga, each once."""
    found: list[Any] = [sketch.spec.takes, sketch.spec.gives]
    for command in commands_of(sketch):
        result, failures = kinds.answers_of(command)
        found += [command, result, *failures]
    found += sketch.drawing.derived.values()
    return tuple(dict.fromkeys(chain.from_iterable(map(kinds.payloads_in, found))))


def pure_functions_of(sketch: Sketch) -> tuple[Callable[..., Any], ...]:
    """Give the functions behind steps, compensations and derived values, each once."""
    found = [spec.function for spec in specs_of(sketch)]
    found += [undo.function for _, undo in undos_of(sketch)]
    return tuple(dict.fromkeys([*found, *sketch.drawing.derived]))


def before_pivot(sketch: Sketch) -> list[StepMark]:
    """Give the steps before the pivot: all, if there is none. Of several pivots the first counts."""
    pivots, steps = sketch.drawing.pivots, sketch.drawing.steps
    return [s for s in steps if not pivots or s.index < pivots[0].first + s.forgotten]


def after_pivot(sketch: Sketch) -> list[StepMark]:
    """Give the steps after the pivot; of several pivots the first counts."""
    pivots, steps = sketch.drawing.pivots, sketch.drawing.steps
    return [step for step in steps if pivots and step.index >= pivots[0].end and not step.pivot]


def reads_of(sketch: Sketch) -> Iterator[tuple[Use, Read]]:
    """Give each read of this plan's own values, with its reader."""
    for use in sketch.drawing.uses:
        for read in use.reads:
            if read.made.drawing is sketch.drawing and not read.made.unknown:
                yield use, read
