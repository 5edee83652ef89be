"""Drawing a plan: run it once, over values that are not known yet."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, NamedTuple, cast

from orchestrator import guard
from orchestrator.definition import kinds, straight
from orchestrator.definition.drawing import Drawing, Made, Planned, plan_call, read_all
from orchestrator.definition.flow import Flow
from orchestrator.definition.later import Call, Later, being_drawn
from orchestrator.definition.problem import Place, Problem


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

    @cached_property
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
    whole: bool = False
    """Whether the plan was drawn to its end; otherwise follow-on reports are held back."""


def sketch(spec: SagaSpec) -> Sketch:
    """Run the plan once. Never raises, whatever the plan does.

    One that raises is run again, each of its statements on its own, so that all of it is drawn.
    """
    drawn = _drawn(spec, Drawing(spec.id))
    return drawn if drawn.whole else _drawn(spec, Drawing(spec.id, forgiving=True))


def _drawn(spec: SagaSpec, drawing: Drawing) -> Sketch:
    judge = partial(_returned, spec, drawing)
    form = straight.form_of(spec.function, drawing, judge)
    if not _is_plain(form):
        return Sketch(spec, drawing, None)
    with being_drawn(drawing):
        values, named = _arguments(spec, drawing)
        out = guard.call(form, *values, **named)
        if isinstance(out, guard.Raised):
            drawing.told.extend(straight.problems_of(out))
            return Sketch(spec, drawing, None)
        result = judge(out)
        drawing.draw_forgotten()
    return Sketch(spec, drawing, result, whole=True)


def _arguments(spec: SagaSpec, drawing: Drawing) -> tuple[list[Any], dict[str, Any]]:
    # Those that it should have, and something for those that are too many.
    flow, given = Flow(drawing), Later[Any](drawing.given(spec.takes, spec.place))
    values: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(spec.function).parameters.items():
        count = len(values) + len(named)
        if count >= 2 and parameter.default is not parameter.empty:
            continue
        value = (flow, given)[count] if count < 2 else Later[Any](drawing.unknown())
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        elif parameter.kind is not parameter.VAR_KEYWORD:
            values.append(value)
    return values, named


def _returned(spec: SagaSpec, drawing: Drawing, out: object) -> Made | None:
    nothing = spec.gives is kinds.NONE
    if out is None and (nothing or spec.gives is Any):
        return None
    if nothing or not isinstance(out, (Later, Call)):
        drawing.told.append(_wrong_return(spec, out))
        return None
    reads, _ = read_all(spec.id, (spec.gives,), (cast("Later[Any]", out),))
    drawing.use(spec.id, reads, returning=True).place = spec.place
    return reads[0].made


def sub_saga(spec: SagaSpec, given: Later[Any]) -> Call[Any]:
    """Make a call of a whole saga, which the engine does not run yet."""

    def draw(drawing: Drawing, planned: Planned) -> Made:
        drawing.refuse(f"the sub-saga `{spec.id}`", "make it a `@block`")
        return drawing.given(planned.kind, planned.place)

    return plan_call(spec.id, (spec.takes,), spec.gives, (given,), draw)


def _is_plain(function: Callable[..., Any]) -> bool:
    return not (
        inspect.iscoroutinefunction(function)
        or inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
    )


def _wrong_return(spec: SagaSpec, out: object) -> Problem:
    what = "a value" if isinstance(out, (Later, Call)) else f"`{type(out).__name__}`"
    if out is None:
        what = "nothing"
    promised = "nothing" if spec.gives is kinds.NONE else f"`Later[{kinds.say(spec.gives)}]`"
    text = f"`{spec.id}` returns {what}; it promises {promised}"
    return Problem("SG210", spec.place, text, "return a value of the plan, or promise `None`")
