"""Drawing a plan: run it once, over values that are not known yet."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

from orchestrator import guard
from orchestrator.definition import kinds
from orchestrator.definition.drawing import Drawing, Made, Planned, plan_call, read_all
from orchestrator.definition.flow import Flow
from orchestrator.definition.later import Call, Later, made_of
from orchestrator.definition.problem import Place, Problem
from orchestrator.errors import DefinitionError


@dataclass(frozen=True, eq=False)
class SagaSpec:
    """A saga as declared."""

    function: Callable[..., Any]
    id: str
    version: int
    deadline: timedelta
    keep: timedelta
    follows: SagaSpec | None
    place: Place

    @cached_property
    def signature(self) -> kinds.Signature:
        """The plan's annotations: `(Flow, Later[I]) -> Later[O]` or None."""
        return kinds.signature_of(self.function)

    @property
    def takes(self) -> Any:
        """The type of the start payload."""
        takes = self.signature.takes
        return kinds.inner(takes[1]) if len(takes) > 1 else Any

    @property
    def gives(self) -> Any:
        """The type of the published outcome; NoneType if there is none."""
        gives = self.signature.gives
        return kinds.NONE if gives in {None, kinds.NONE} else kinds.inner(gives)


class Sketch(NamedTuple):
    """A plan that was drawn, or as much of it as could be."""

    spec: SagaSpec
    drawing: Drawing
    result: Made | None
    stopped: tuple[Problem, ...] = ()
    """What ended the drawing too early."""
    whole: bool = False
    """Whether the plan was drawn to its end; otherwise follow-on reports are held back."""


def sketch(spec: SagaSpec) -> Sketch:
    """Run the plan once. Never raises, whatever the plan does."""
    drawing = Drawing(spec.id)
    if not _is_plain(spec.function) or len(spec.signature.takes) != 2:
        return Sketch(spec, drawing, None)
    given = Later[Any](drawing.given(spec.takes))
    out = guard.call(spec.function, Flow(drawing), given)
    if isinstance(out, guard.Raised):
        return Sketch(spec, drawing, None, _problems(out))
    if out is None and spec.gives is kinds.NONE:
        return Sketch(spec, drawing, None, whole=True)
    if not isinstance(out, Later) or spec.gives is kinds.NONE:
        return Sketch(spec, drawing, None, (_wrong_return(spec, out),), whole=True)
    reads, _ = read_all(spec.id, (spec.gives,), (out,))
    drawing.use(spec.id, reads, returning=True).place = spec.place
    return Sketch(spec, drawing, made_of(out), whole=True)


def sub_saga(spec: SagaSpec, given: Later[Any]) -> Call[Any]:
    """Make a call of a whole saga, which the engine does not run yet."""

    def draw(drawing: Drawing, planned: Planned) -> Made:
        drawing.refuse(f"the sub-saga `{spec.id}`", "make it a `@block`")
        return drawing.given(planned.kind)

    return plan_call(spec.id, (spec.takes,), spec.gives, (given,), draw)


def _is_plain(function: Callable[..., Any]) -> bool:
    return not (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )


def _problems(raised: guard.Raised) -> tuple[Problem, ...]:
    error = raised.error
    if isinstance(error, DefinitionError):
        return tuple(p for p in error.problems if isinstance(p, Problem))
    text = f"the plan raised `{raised.summary}`"
    cure = "a plan only hands values on; compute in a step or a `@derive` function"
    if isinstance(error, NameError):
        text += " (a name that is not yet bound: the step comes later, or is a sibling)"
        cure = "place the step that gives it first"
    return (Problem("SG300", Place(raised.file, raised.line), text, cure),)


def _wrong_return(spec: SagaSpec, out: object) -> Problem:
    what = "a value" if isinstance(out, Later) else f"`{type(out).__name__}`"
    if out is None:
        what = "nothing"
    promised = "nothing" if spec.gives is kinds.NONE else f"`Later[{kinds.say(spec.gives)}]`"
    text = f"`{spec.id}` returns {what}; it promises {promised}"
    return Problem("SG210", spec.place, text, "return a value of the plan, or promise `None`")
