"""What is recorded while a plan is drawn: the marks it leaves, and who reads which value.

A plan is run once, over values that are not known yet. Nothing is judged here: the facts are kept,
and `check` looks at them when the plan has ended, so that every mistake is reported at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from orchestrator.core.definition import Given, Result, Value
from orchestrator.definition.later import (
    Call,
    Later,
    made_of,
    mistaken,
    planned_of,
    present_drawing,
)
from orchestrator.definition.problem import Place, Problem, here, user_frame

if TYPE_CHECKING:
    from orchestrator.definition.declared import BlockSpec, StepSpec


@dataclass(eq=False, slots=True)
class Scope:
    """The inside of a block or branch. What is made in it is seen from it and from below."""

    parent: Scope | None
    path: tuple[str, ...] = ()
    """Names of the blocks around it: the beginning of its steps' ids."""
    marks: list[Mark] = field(default_factory=list)

    def sees(self, other: Scope) -> bool:
        """Say whether a value made in `other` may be read here."""
        scope: Scope | None = self
        while scope is not None and scope is not other:
            scope = scope.parent
        return scope is other


@dataclass(frozen=True, eq=False, slots=True)
class Made:
    """A value of the plan: where it was made, its type, and how the core will get it."""

    drawing: Drawing
    scope: Scope
    name: str
    kind: Any
    value: Value
    place: Place
    maybe: tuple[str, Place] | None = None
    """Which verb, where, makes it possible that there is none."""
    unknown: bool = False
    """It only stands for what a mistake took away: what is read from it is not judged."""


class Read(NamedTuple):
    """One value that is read: as what, and under which name of the plan."""

    name: str
    made: Made
    want: Any
    unplaced: Planned | None = None
    """The call that was given in the place of its result."""


@dataclass(eq=False, slots=True)
class Use:
    """Somebody reads values: a call, a derived value, a condition, the saga's own return."""

    reader: str
    place: Place
    reads: tuple[Read, ...]
    scope: Scope | None
    """Where; None until the call is placed."""
    returning: bool = False


@dataclass(eq=False, slots=True)
class Planned:
    """A call: what would be placed, and where it has been."""

    drawing: Drawing
    name: str
    use: Use
    kind: Any
    draw: Callable[[Drawing, Planned], Made]
    called_in: Scope
    step_index: int
    """How many steps had been placed when it was called."""
    spec: StepSpec | None = None
    placed: list[Place] = field(default_factory=list)
    result: Made | None = None
    excused: bool = False
    """It may be that only a statement that raised has kept it from being placed."""

    @property
    def place(self) -> Place:
        """Where it is placed; of one that is not, where it should be."""
        return self.placed[0] if self.placed else self.use.place


@dataclass(eq=False, slots=True)
class StepMark:
    """A step that was placed."""

    spec: StepSpec
    index: int
    """Its number; of one that was forgotten, that of the step before which it should stand."""
    id: str
    use: Use
    place: Place
    scope: Scope
    pivot: bool = False
    forgotten: bool = False


@dataclass(eq=False, slots=True)
class BlockMark:
    """A block that was placed."""

    spec: BlockSpec
    id: str
    inside: Scope
    place: Place


@dataclass(eq=False, slots=True)
class ParallelMark:
    """Branches that run at once."""

    branches: list[Scope]
    place: Place


@dataclass(eq=False, slots=True)
class ChooseMark:
    """A condition and what it decides about."""

    decision: int
    condition: Made
    then: Scope
    otherwise: Scope | None
    place: Place


Mark: TypeAlias = StepMark | BlockMark | ParallelMark | ChooseMark


class Pivot(NamedTuple):
    """A use of `flow.pivot`, and what it placed."""

    name: str
    place: Place
    scope: Scope
    mark: Mark | None
    first: int
    """The number of its first step: all below it come before."""
    end: int
    """The number after its last step."""


class Unsupported(NamedTuple):
    """A verb that the engine does not run yet."""

    what: str
    place: Place
    cure: str


@dataclass(eq=False, slots=True)
class Drawing:
    """Everything that drawing one plan has left behind."""

    saga: str
    root: Scope = field(default_factory=lambda: Scope(None))
    scope: Scope = field(init=False)
    calls: list[Planned] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    steps: list[StepMark] = field(default_factory=list)
    blocks: list[BlockMark] = field(default_factory=list)
    pivots: list[Pivot] = field(default_factory=list)
    unsupported: list[Unsupported] = field(default_factory=list)
    unbounded: list[Place] = field(default_factory=list)
    """Fan-outs without `at_most`."""
    derived: dict[Callable[..., Any], Any] = field(default_factory=dict)
    """Each function behind a `@derive`, and the type that it gives."""
    decisions_count: int = 0
    open: list[BlockSpec] = field(default_factory=list)
    """The blocks that are being drawn, from the outside in."""
    told: list[Problem] = field(default_factory=list)
    """Mistakes that the drawing itself ran into."""
    asked: set[Place] = field(default_factory=set)
    """Where it was asked for the truth of a value."""
    forgiving: bool = False
    """Whether each statement that raises is told and passed over."""
    forgotten: Planned | None = None
    """The call that is drawn at the end, as it was never placed."""

    def __post_init__(self) -> None:
        self.scope = self.root

    @contextmanager
    def inside(self, *names: str) -> Iterator[Scope]:
        """Draw into a new scope below the present one."""
        with self.within(Scope(self.scope, (*self.scope.path, *names))) as scope:
            yield scope

    @contextmanager
    def within(self, scope: Scope) -> Iterator[Scope]:
        """Draw into a scope."""
        outer, self.scope = self.scope, scope
        try:
            yield self.scope
        finally:
            self.scope = outer

    @contextmanager
    def opened(self, spec: BlockSpec) -> Iterator[None]:
        """Draw the inside of a block."""
        self.open.append(spec)
        try:
            yield
        finally:
            self.open.pop()

    def make(self, name: str, kind: Any, value: Value, **more: Any) -> Made:
        """Record a value made in the present scope at the user's line, or at `place`."""
        return Made(self, self.scope, name, kind, value, more.pop("place", None) or here(), **more)

    def given(self, kind: Any, place: Place) -> Made:
        """Make the start payload."""
        return self.make("the start payload", kind, Given(), place=place)

    def unknown(self) -> Made:
        """Make what stands for a value that a mistake took away."""
        return self.make("what is missing here", Any, Given(), unknown=True)

    def use(self, reader: str, reads: tuple[Read, ...], *, returning: bool = False) -> Use:
        """Record that values are read in the present scope."""
        use = Use(reader, here(), reads, self.scope, returning)
        self.uses.append(use)
        return use

    def refuse(self, what: str, cure: str) -> None:
        """Record the use of something that the engine does not run yet."""
        self.unsupported.append(Unsupported(what, here(), cure))

    def place(self, call: object, verb: str) -> Made:
        """Draw a call into the present scope; give the value that stands for its result."""
        if not isinstance(call, Call):
            return _made_instead(call, verb)
        planned = planned_of(call)
        planned.placed.append(here())
        if planned.drawing is not self:
            planned.drawing = self
            self.calls.append(planned)
            self.uses.append(planned.use)
        return self.draw(planned)

    def draw(self, planned: Planned) -> Made:
        """Draw a call into the present scope, unless it is drawn already; give its result."""
        if planned.result is None:
            planned.use.scope = self.scope
            planned.result = planned.draw(self, planned)
        return planned.result

    def draw_forgotten(self) -> None:
        """Draw the calls that were never placed where they were made: they may be wrong as well."""
        for planned in self.calls:  # grows while a block is drawn
            if planned.result is None and not planned.excused:
                self.forgotten = planned
                with self.within(planned.called_in):
                    self.draw(planned)
        self.forgotten = None

    def place_step(self, spec: StepSpec, id_: str, planned: Planned) -> Made:
        """Leave the mark of a step."""
        id_ = ".".join((*self.scope.path, id_))
        mark = StepMark(spec, len(self.steps), id_, planned.use, planned.place, self.scope)
        if self.forgotten is not None:
            mark.index, mark.forgotten = self.forgotten.step_index, True
        self.steps.append(mark)
        self.scope.marks.append(mark)
        return self.make(planned.name, planned.kind, Result(mark.index), place=planned.place)


def plan_call(
    name: str,
    wants: Sequence[Any],
    kind: Any,
    values: tuple[Later[Any], ...],
    draw: Callable[[Drawing, Planned], Made],
    *,
    spec: StepSpec | None = None,
) -> Call[Any]:
    """Make a call of `name` with the values given; it is placed later."""
    reads, drawing = read_all(name, wants, values)
    use = Use(name, here(), reads, None)
    planned = Planned(drawing, name, use, kind, draw, drawing.scope, len(drawing.steps), spec)
    drawing.calls.append(planned)
    drawing.uses.append(use)
    return Call(planned)


def read_all(
    reader: str,
    wants: Sequence[Any],
    values: tuple[Later[Any], ...],
    cure: str = "hand on `Later` values; put a constant into the function itself",
) -> tuple[tuple[Read, ...], Drawing]:
    """Record what a reader is given, and in which drawing.

    A value that is not one of a plan is told (SG209). Raises DefinitionError outside of a plan.
    """
    names = _names_in_plan()
    # Of annotations that cannot be read nothing is wanted; SG502 reports them.
    wanted = [*wants, *[Any] * (len(values) - len(wants))]
    given = [_value_of_plan(reader, value, cure) for value in values]
    reads = tuple(_read(names, value, want) for value, want in zip(given, wanted, strict=False))
    return reads, present_drawing() or reads[0].made.drawing


def _made_instead(given: object, verb: str) -> Made:
    unknown = mistaken(
        "SG209",
        f"`flow.{verb}` wants a call; it is given {say_value(given)}",
        f"`flow.{verb}(reserve_seat(trip))`, with a step or block of yours",
    )
    return made_of(given if isinstance(given, Later) else unknown)


def _value_of_plan(reader: str, value: object, cure: str) -> Later[Any] | Call[Any]:
    if isinstance(value, (Later, Call)):
        return value
    text = f"`{reader}` is given {say_value(value)}, which is no value of the plan"
    return mistaken("SG209", text, cure)


def _read(names: dict[int, str], value: Later[Any] | Call[Any], want: Any) -> Read:
    if isinstance(value, Later):
        made = made_of(value)
        return Read(names.get(id(value), made.name), made, want)
    planned = planned_of(value)
    drawing = planned.drawing
    if drawing is present_drawing():
        # It is drawn as if it had been placed, so that its own mistakes are told at once.
        made = drawing.draw(planned)
    else:
        made = Made(drawing, drawing.scope, planned.name, want, Given(), planned.use.place)
    return Read(names.get(id(value), planned.name), made, want, planned)


def _names_in_plan() -> dict[int, str]:
    # What the user's code calls its values, so that a message can say `seat`.
    frame = user_frame()
    return {} if frame is None else {id(value): name for name, value in frame.f_locals.items()}


def say_value(value: object) -> str:
    """Name a value that has no business in a plan."""
    if isinstance(value, Later):
        return f"`{made_of(value).name}`, a value that is placed already"
    if isinstance(value, Call):
        return f"`{planned_of(value).name}`, a call that is not placed"
    return f"a plain `{type(value).__name__}`"
