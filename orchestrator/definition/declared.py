"""What `@step`, `@derive` and `@block` make of a function, whatever its number of parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property, partial
from typing import Any, Generic, Self, TypeVar, cast

from orchestrator.core.definition import Derived
from orchestrator.definition import kinds, straight
from orchestrator.definition.drawing import (
    BlockMark,
    Drawing,
    Made,
    Planned,
    Read,
    plan_call,
    read_all,
)
from orchestrator.definition.flow import Flow
from orchestrator.definition.later import Call, Later, made_of, mistaken
from orchestrator.definition.payload import Command
from orchestrator.definition.problem import Place, Problem, here, place_of
from orchestrator.definition.retry import Retry
from orchestrator.definition.values import Pure
from orchestrator.errors import DefinitionError

C = TypeVar("C")
R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U", bound=Command[Any, Any])


@dataclass(frozen=True, eq=False)
class UndoSpec:
    """A compensation as declared."""

    function: Callable[..., Any]
    within: timedelta
    retry: Retry
    place: Place

    @cached_property
    def signature(self) -> kinds.Signature:
        """The function's annotations, read when first asked for: they may name later classes."""
        return kinds.signature_of(self.function)


@dataclass(eq=False, slots=True)
class StepSpec:
    """A step as declared; its undo is attached after it is made, until it is first built."""

    function: Callable[..., Any]
    name: str
    within: timedelta
    retry: Retry | None
    irreversible: bool
    place: Place
    undo: UndoSpec | None = None
    undone_again: list[UndoSpec] = field(default_factory=list)
    """Further compensations: one too many each, yet looked at like the first."""
    built: bool = False
    _signature: kinds.Signature | None = None

    @property
    def signature(self) -> kinds.Signature:
        """The function's annotations, read when first asked for: they may name later classes."""
        if self._signature is None:
            self._signature = kinds.signature_of(self.function)
        return self._signature

    @property
    def result(self) -> Any:
        """The type of the result that the command's class declares."""
        command = self.signature.gives
        return kinds.answers_of(command)[0] if kinds.is_command(command) else Any


@dataclass(frozen=True, eq=False, slots=True)
class BlockSpec:
    """A block as declared."""

    function: Callable[..., Any]
    name: str
    place: Place


class Undo(Generic[C, R]):
    """The decorator that `@reserve_seat.undo(...)` gives."""

    def __init__(self, spec: StepSpec, within: timedelta, retry: Retry) -> None:
        self._spec = spec
        self._within = within
        self._retry = retry

    def __call__(self, function: Callable[[C, R | None], U], /) -> Callable[[C, R | None], U]:
        """Make `function` the step's compensation; give it back unchanged."""
        spec, place = self._spec, place_of(function)
        undo = UndoSpec(function, self._within, self._retry, place)
        if spec.undo is not None:
            spec.undone_again.append(undo)
        elif spec.built:
            text = f"`{spec.name}` gets its undo after it has been built"
            raise DefinitionError(
                (Problem("SG104", here(), text, "declare it right below the step"),)
            )
        else:
            spec.undo = undo
        return function


class Step(Generic[C, R]):
    """A step: a pure function that makes a command, and how it is sent and undone.

    Called with `Later` values it gives a `Call`, to be placed by a verb of `flow`.
    """

    def __init__(self, spec: StepSpec) -> None:
        self._spec = spec
        self.id = spec.name
        """Its name in ids, logs and topics."""
        self.__doc__ = spec.function.__doc__

    def __repr__(self) -> str:
        return f"step {self.id}"

    def undo(self, *, within: timedelta, retry: Retry | None = None) -> Undo[C, R]:
        """Declare the compensation: `(command, result | None) -> Command`.

        The result is None when the outcome is unknown. Args: `within`: how long one attempt may
        take; `retry`: for ever unless told otherwise.
        """
        return Undo(self._spec, within, Retry.forever() if retry is None else retry)

    def named(self, name: str) -> Self:
        """Give the same step under another id, for a second place in one saga."""
        twin = copy.copy(self)
        twin.id = name
        return twin

    def _call(self, *values: Later[Any]) -> Call[R]:
        spec, id_ = self._spec, self.id

        def draw(drawing: Drawing, planned: Planned) -> Made:
            return drawing.place_step(spec, id_, planned)

        return plan_call(id_, spec.signature.takes, spec.result, values, draw, spec=spec)

    def _command(self, *arguments: Any) -> C:
        return cast("C", self._spec.function(*arguments))


class Derive(Generic[T]):
    """A pure value of other values: a condition, or the saga's result."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._signature: kinds.Signature | None = None
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"derive {self._function.__name__}"

    def _derive(self, *values: Later[Any]) -> Later[T]:
        if self._signature is None:
            self._signature = kinds.signature_of(self._function)
        name, signature = self._function.__name__, self._signature
        reads, drawing = read_all(name, signature.takes, values)
        drawing.use(name, reads)
        drawing.derived[self._function] = signature.gives
        arguments = tuple(read.made.value for read in reads)
        takes = tuple(read.made.kind for read in reads)
        pure = Pure(name, self._function, takes, signature.gives)
        maybe = (name, here()) if kinds.NONE in kinds.members(signature.gives) else None
        value = Derived(name, pure, arguments)
        return Later(drawing.make(name, signature.gives, value, maybe=maybe))

    def _value(self, *arguments: Any) -> T:
        return cast("T", self._function(*arguments))


class Block(Generic[R]):
    """Several steps under one name, drawn as a box. Called with `Later` values it gives a `Call`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._spec = BlockSpec(function, function.__name__, place_of(function))
        self.id = function.__name__
        """Its name in the ids of its steps."""
        self.__doc__ = function.__doc__

    def __repr__(self) -> str:
        return f"block {self.id}"

    def named(self, name: str) -> Self:
        """Give the same block under another id, for a second place in one saga."""
        twin = copy.copy(self)
        twin.id = name
        return twin

    def _call(self, *values: Later[Any]) -> Call[R]:
        spec, id_ = self._spec, self.id
        signature = kinds.signature_of(spec.function)
        wants = [kinds.inner(kind) for kind in signature.takes[1:]]
        gives = kinds.inner(signature.gives)

        def draw(drawing: Drawing, planned: Planned) -> Made:
            if spec in drawing.open:
                text = f"the block `{spec.name}` places itself"
                return made_of(mistaken("SG113", text, "`flow.each(...)`, or end it"))
            judge = partial(_returned, drawing, spec, gives)
            function = straight.form_of(spec.function, drawing, judge)
            outer = drawing.scope
            with drawing.inside(id_) as scope, drawing.opened(spec):
                mark = BlockMark(spec, ".".join(scope.path), scope, planned.place)
                outer.marks.append(mark)
                drawing.blocks.append(mark)
                made = judge(function(Flow(drawing), *_inside(planned.use.reads)))
            # One that does not keep its promise is told within; outside the promise counts.
            kept = kinds.fits(made.kind, gives)
            kind, maybe = (made.kind, made.maybe) if kept else (gives, None)
            return drawing.make(planned.name, kind, made.value, maybe=maybe, place=planned.place)

        return plan_call(id_, wants, gives, values, draw)


def _inside(reads: tuple[Read, ...]) -> Iterator[Later[Any]]:
    # A value of the wrong type is reported where it is given, not again at each use inside.
    for read in reads:
        made = read.made
        yield Later(made if kinds.fits(made.kind, read.want) else replace(made, kind=read.want))


def _returned(drawing: Drawing, spec: BlockSpec, gives: Any, out: object) -> Made:
    if not isinstance(out, (Later, Call)):
        what = "None" if out is None else f"a `{type(out).__name__}`"
        text = f"the block `{spec.name}` returns {what}"
        cure = "return a value of the plan, such as `flow.do(...)`"
        return replace(made_of(mistaken("SG210", text, cure)), kind=gives)
    reads, _ = read_all(spec.name, (gives,), (cast("Later[Any]", out),))
    drawing.use(spec.name, reads, returning=True)
    return reads[0].made
