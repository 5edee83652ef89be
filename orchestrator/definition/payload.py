"""Payloads, commands and participants: the contract that a saga and its participants share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    dataclass_transform,
)

from typing_extensions import TypeVar as DefaultTypeVar

from orchestrator.definition.problem import Place, here

if TYPE_CHECKING:
    from types import ModuleType

C = TypeVar("C")
R = TypeVar("R")
F = TypeVar("F")
C_co = TypeVar("C_co", covariant=True)
R_co = TypeVar("R_co", covariant=True)
F_co = DefaultTypeVar("F_co", covariant=True, default=Never)
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Participant:
    """A service that executes steps. Its name is part of topic names: `[A-Za-z0-9._-]{1,128}`."""

    name: str


@dataclass_transform(frozen_default=True)
class Payload:
    """Base of every value that travels: start payloads, results, failures, signals, outcomes.

    A subclass is a frozen dataclass: its annotations are its fields, keyword or positional. Fields
    may be `str`, `int`, `bool`, `float`, `bytes`, another payload, a `StrEnum`, `tuple[X, ...]`,
    `dict[str, X]`, and `X | None`.
    """

    __declared__: ClassVar[Place] = Place("?", 0)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__declared__ = here()
        dataclass(frozen=True)(cls)


class Done(Payload):
    """The empty result: it is done, and there is nothing to tell."""


class Answers(Protocol[C_co, R_co, F_co]):
    """What the type checkers read off a command's class: itself, its result, its failures."""

    def answered(self) -> tuple[C_co, R_co, F_co]:
        """Do nothing: this method exists for type checkers only."""
        ...


@dataclass_transform(frozen_default=True)
class Command(Payload, Generic[R_co, F_co]):
    """A wish to one participant: `class ReserveSeat(Command[SeatReserved, SoldOut], to=flights)`.

    The first parameter is the result's class; the second, which may be left out, is the declared
    failures: one class, or several as `A | B`.
    """

    __participant__: ClassVar[Participant | None] = None

    def __init_subclass__(cls, *, to: Participant, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.__participant__ = to

    if TYPE_CHECKING:

        def answered(self) -> tuple[Self, R_co, F_co]:
            """Do nothing: this method exists for type checkers only."""
            ...

    @classmethod
    def handler(
        cls: type[Answers[C, R, F]], function: Callable[Concatenate[C, P], R | F], /
    ) -> Handler[C, P, R | F]:
        """Declare the participant's function for this command.

        The function takes the command (what else it may take, `orchestrator.participant` says) and
        returns the result or a declared failure; an exception means: try again.
        """
        return Handler(cls, function)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Handler(Generic[C, P, R_co]):
    """A participant's function for one command; still to be called as that function."""

    command: type[Command[Any, Any]]
    function: Callable[Concatenate[C, P], R_co]

    def __call__(self, command: C, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the function itself."""
        return self.function(command, *args, **kwargs)

    @property
    def participant(self) -> Participant:
        """Who executes the command."""
        return participant_of(self.command)


def participant_of(command: type[Command[Any, Any]]) -> Participant:
    """Give the participant that a command's class names with `to=`."""
    found = command.__participant__
    if found is None:
        raise TypeError(f"{command.__name__} is no command: it has no participant")
    return found


def handlers_of(module: ModuleType) -> tuple[Handler[Any, ..., Any], ...]:
    """Find the handlers bound to a module's names, in the order of the names."""
    found = (value for _, value in sorted(vars(module).items()))
    return tuple(dict.fromkeys(value for value in found if isinstance(value, Handler)))
