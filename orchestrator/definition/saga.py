"""`@saga`: a definition, its start, and what can be made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, overload

from orchestrator.definition import binding, kinds
from orchestrator.definition.check import errors_in, problems_in
from orchestrator.definition.durations import days
from orchestrator.definition.flow import Flow
from orchestrator.definition.freeze import freeze
from orchestrator.definition.later import Call, Later, stopped
from orchestrator.definition.looking import commands_of, payloads_of
from orchestrator.definition.payload import Command, Payload
from orchestrator.definition.plan import SagaSpec, Sketch, sketch, sub_saga
from orchestrator.definition.problem import Problem, place_of
from orchestrator.errors import DefinitionError

if TYPE_CHECKING:
    from types import ModuleType

    from orchestrator.core.definition import Definition

I = TypeVar("I", bound=Payload)  # noqa: E741  # input
O = TypeVar("O")  # noqa: E741  # outcome

KEEP = days(7)


@dataclass(frozen=True, slots=True)
class Start(Generic[O]):
    """A saga and the payload that one execution of it starts with."""

    saga: Saga[Any, O]
    payload: Payload


class Checked(NamedTuple):
    """A drawn plan and what was found in it."""

    sketch: Sketch
    problems: tuple[Problem, ...]


class Saga(Generic[I, O]):
    """A saga definition: a plan that is drawn once, when it is built."""

    def __init__(self, spec: SagaSpec) -> None:
        self._spec = spec
        self._checked: Checked | None = None
        self._tree: Definition | None = None
        self.__doc__ = spec.function.__doc__

    def __repr__(self) -> str:
        return f"saga {self.id} v{self.version}"

    @property
    def id(self) -> str:
        """The saga's name in ids, logs and topics."""
        return self._spec.id

    @property
    def version(self) -> int:
        """From 1; a saga finishes on the version that it started with."""
        return self._spec.version

    @property
    def input_type(self) -> type[Payload]:
        """The class of the start payload."""
        found: type[Payload] = self._spec.takes
        return found

    @property
    def spec(self) -> SagaSpec:
        """The declaration."""
        return self._spec

    def given(self, payload: I) -> Start[O]:
        """Pair the saga with a start payload. Raises DefinitionError for another class (SG212)."""
        want = self._spec.takes
        plain = want is Any or type(payload) is want
        if not plain and not kinds.is_instance(payload, want):
            raise stopped(
                "SG212",
                f"`{self.id}` starts with a `{kinds.say(want)}`; "
                f"it is given a `{type(payload).__name__}`",
                f"`{self.id}.given({kinds.say(want)}(...))`",
            )
        return Start(self, payload)

    def __call__(self, given: Later[I], /) -> Call[O]:
        """Make a call of the whole saga as a part of another. Not supported yet: SG001."""
        return sub_saga(self._spec, given)

    def sketch(self) -> Sketch:
        """Draw the plan, mistakes and all; drawn again only if it had any."""
        return self._check().sketch

    def commands(self) -> tuple[type[Command[Any, Any]], ...]:
        """Give the classes of every command that it may send, compensations included."""
        return commands_of(self.sketch())

    def payloads(self) -> tuple[type[Payload], ...]:
        """Give every payload class that travels with it: input, commands, answers, outcome."""
        return payloads_of(self.sketch())

    def problems(self) -> tuple[Problem, ...]:
        """Give every mistake and warning, in the order of the text."""
        return self._check().problems

    def build(self) -> Definition:
        """Check, and give the frozen tree; its functions run once a codec is bound.

        Raises DefinitionError with every mistake.
        """
        if self._tree is None:
            checked = self._check()
            errors = errors_in(checked.problems)
            if errors:
                raise DefinitionError(errors)
            self._tree = freeze(checked.sketch)
        return self._tree

    def bind(self, codec: binding.PayloadCodec) -> Definition:
        """Build, and bind the functions to a codec: what a worker runs."""
        return binding.bind(self.build(), codec)

    def _check(self) -> Checked:
        if self._checked is not None:
            return self._checked
        drawn = sketch(self._spec)
        checked = Checked(drawn, problems_in(drawn))
        # One with mistakes is not kept: they may be mended by what the module says further down.
        if not errors_in(checked.problems):
            self._checked = checked
        return checked


class _SagaDecorator:
    def __init__(
        self,
        version: int,
        deadline: timedelta,
        keep: timedelta,
        follows: SagaSpec | None,
        id_: str | None,
    ) -> None:
        self._given = (version, deadline, keep, follows)
        self._id = id_

    @overload
    def __call__(self, plan: Callable[[Flow, Later[I]], Later[O]], /) -> Saga[I, O]: ...
    @overload
    def __call__(self, plan: Callable[[Flow, Later[I]], None], /) -> Saga[I, None]: ...
    def __call__(self, plan: Callable[[Flow, Later[I]], Any], /) -> Saga[I, Any]:
        id_ = self._id or plan.__name__
        return Saga(SagaSpec(plan, id_, *self._given, place_of(plan)))


def saga(
    *,
    version: int,
    deadline: timedelta,
    keep: timedelta = KEEP,
    follows: Saga[Any, Any] | None = None,
    id: str | None = None,  # noqa: A002  # the word that people use
) -> _SagaDecorator:
    """Declare a saga: a plan `(flow, Later[I]) -> Later[O]`, or `-> None`.

    Args: `version`: from 1; `deadline`: how long it may run before it turns back; `keep`: how long a
    finished saga's id is remembered; `follows`: the version before this one; `id`: its name, if not
    the function's.
    """
    return _SagaDecorator(version, deadline, keep, None if follows is None else follows.spec, id)


def check(*sagas: Saga[Any, Any]) -> tuple[Problem, ...]:
    """Check definitions together; give the warnings.

    Raises DefinitionError with every mistake of all of them.
    """
    found = problems_in(*(one.sketch() for one in sagas))
    errors = errors_in(found)
    if errors:
        raise DefinitionError(errors)
    return found


def sagas_of(module: ModuleType) -> tuple[Saga[Any, Any], ...]:
    """Find the sagas bound to a module's names, by id and version."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, Saga)}
    return tuple(sorted(found.values(), key=lambda one: (one.id, one.version)))
