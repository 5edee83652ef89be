"""The verbs: how a plan places its calls.

`flow` carries the recording of one plan. Each verb places calls in the present scope and gives back
the value that stands for the result.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from orchestrator.core.definition import Chosen, Given, Result, Value
from orchestrator.definition import kinds
from orchestrator.definition.drawing import (
    ChooseMark,
    Drawing,
    Made,
    ParallelMark,
    Pivot,
    Scope,
    StepMark,
    read_all,
)
from orchestrator.definition.later import Call, Later
from orchestrator.definition.parallel import ParallelVerb
from orchestrator.definition.payload import Payload
from orchestrator.definition.problem import here
from orchestrator.definition.values import widened

T = TypeVar("T")
R = TypeVar("R")
R1 = TypeVar("R1")
R2 = TypeVar("R2")
S = TypeVar("S", bound=Payload)


class Flow(ParallelVerb):
    """What a plan or a block is given to place its calls with."""

    __slots__ = ("_drawing",)

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing

    def do(self, call: Call[R], /) -> Later[R]:
        """Run a step or a block next in the sequence."""
        return Later(self._drawing.place(call, "do"))

    def pivot(self, call: Call[R], /) -> Later[R]:
        """Run a step as the point of no return: after it the saga only goes forward."""
        drawing, scope = self._drawing, self._drawing.scope
        marks_count, first = len(scope.marks), len(drawing.steps)
        made = drawing.place(call, "pivot")
        mark = scope.marks[-1] if len(scope.marks) > marks_count else None
        if isinstance(mark, StepMark):
            mark.pivot = True
        end = len(drawing.steps)
        if first == end and isinstance(made.value, Result):
            first, end = made.value.step, made.value.step + 1  # it had been placed before
        drawing.pivots.append(Pivot(made.name, here(), scope, mark, first, end))
        return Later(made)

    def _parallel(self, *calls: Call[Any]) -> tuple[Later[Any], ...]:
        drawing = self._drawing
        mark = ParallelMark([], here())
        drawing.scope.marks.append(mark)
        inside = [self._branch(call, "parallel") for call in calls]
        mark.branches.extend(scope for scope, _ in inside)
        return tuple(Later(self._outside(made)) for _, made in inside)

    def when(self, condition: Later[bool], call: Call[R], /) -> Later[R | None]:
        """Run `call` only if `condition`, a `@derive` function's value, is true; else give None."""
        mark, place = self._choose(condition, "when"), here()
        mark.then, made = self._branch(call, "when")
        kind = kinds.union(made.kind, kinds.NONE)
        value = Chosen(mark.decision, made.value, None)
        return self._later(made.name, kind, value, maybe=("when", place))

    def choose(
        self, condition: Later[bool], then: Call[R1], otherwise: Call[R2], /
    ) -> Later[R1 | R2]:
        """Run `then` if `condition` is true, else `otherwise`."""
        mark = self._choose(condition, "choose")
        mark.then, one = self._branch(then, "choose")
        mark.otherwise, other = self._branch(otherwise, "choose")
        kind = kinds.union(one.kind, other.kind)
        value = Chosen(
            mark.decision,
            widened(one.value, one.kind, kind),
            widened(other.value, other.kind, kind),
        )
        return self._later(
            f"{one.name} or {other.name}", kind, value, maybe=one.maybe or other.maybe
        )

    # --- verbs that the engine does not run yet: typed, drawn for the checks, refused --------------

    def each(
        self,
        items: Later[Sequence[T]],
        body: Callable[[Later[T]], Call[R]],
        /,
        *,
        at_most: int | None = None,
    ) -> Later[tuple[R, ...]]:
        """Run `body` for each item at once, for `at_most` items. Not supported yet: SG001."""
        drawing = self._drawing
        self._refuse("each", "one step whose command carries the whole tuple")
        if at_most is None:
            drawing.unbounded.append(here())
        several = self._read("flow.each", items, Sequence[Any])
        with drawing.inside("each"):
            item = kinds.inner(several.kind)
            made = drawing.place(body(self._later("item", item, Given())), "each")
        kind = types.GenericAlias(tuple, (made.kind, ...))
        return self._later(made.name, kind, Given())

    def wait(self, signal: type[S], /, *, within: timedelta) -> Later[S]:
        """Wait for an outside fact; expiry fails the saga. Not supported yet: SG001."""
        self._refuse("wait", "a step of a participant that answers when the fact is known", within)
        return self._later(signal.__name__, signal, Given())

    def wait_or_none(self, signal: type[S], /, *, within: timedelta) -> Later[S | None]:
        """Wait for an outside fact; expiry goes on with None. Not supported yet: SG001."""
        self._refuse(
            "wait_or_none", "a step of a participant that answers when the fact is known", within
        )
        maybe = ("wait_or_none", here())
        return self._later(signal.__name__, kinds.union(signal, kinds.NONE), Given(), maybe=maybe)

    def delay(self, duration: timedelta, /) -> None:
        """Pause for a while, durably. Not supported yet: SG001."""
        self._refuse("delay", "a step of a participant that answers after the pause", duration)

    def attempt(self, call: Call[R1], /, *, otherwise: Call[R2]) -> Later[R1 | R2]:
        """Undo only `call` if it fails, then run `otherwise`. Not supported yet: SG001."""
        self._refuse("attempt", "a result that tells both outcomes apart, and `flow.choose` on it")
        _, one = self._branch(call, "attempt")
        _, other = self._branch(otherwise, "attempt")
        return self._later(
            f"{one.name} or {other.name}", kinds.union(one.kind, other.kind), Given()
        )

    # --- inside -------------------------------------------------------------------------------------

    def _later(self, name: str, kind: Any, value: Value, **more: Any) -> Later[Any]:
        return Later(self._drawing.make(name, kind, value, **more))

    def _outside(self, made: Made) -> Made:
        return self._drawing.make(made.name, made.kind, made.value, maybe=made.maybe)

    def _branch(self, call: Call[Any], verb: str) -> tuple[Scope, Made]:
        with self._drawing.inside() as scope:
            return scope, self._drawing.place(call, verb)

    def _choose(self, condition: Later[bool], verb: str) -> ChooseMark:
        drawing = self._drawing
        made = self._read(f"flow.{verb}", condition, bool)
        mark = ChooseMark(drawing.decisions_count, made, Scope(drawing.scope), None, here())
        drawing.decisions_count += 1
        drawing.scope.marks.append(mark)
        return mark

    def _read(self, reader: str, value: Later[Any], want: Any) -> Made:
        reads, _ = read_all(reader, (want,), (value,), "a `@derive` function's value")
        self._drawing.use(reader, reads)
        return reads[0].made

    def _refuse(self, verb: str, cure: str, *durations: timedelta) -> None:
        del durations  # nothing to check while the verb is refused
        self._drawing.refuse(f"`flow.{verb}`", cure)
