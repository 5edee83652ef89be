"""`Later` and `Call`: a value that is known only when the saga runs, and a call not yet placed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from orchestrator.definition.problem import Problem, here
from orchestrator.errors import DefinitionError

if TYPE_CHECKING:
    from orchestrator.definition.drawing import Made, Planned

T_co = TypeVar("T_co", covariant=True)


class Later(Generic[T_co]):
    """A value that is known only when the saga runs.

    A plan hands it on to steps and `@derive` functions; it cannot look inside.
    """

    __slots__ = ("_made",)

    def __init__(self, made: Made) -> None:
        self._made = made

    def __repr__(self) -> str:
        return f"Later({self._made.name})"

    def __bool__(self) -> NoReturn:
        raise stopped(
            "SG301",
            "a decision in a plan is taken once, when the plan is drawn",
            "`flow.when`, `flow.choose` or a `@derive` function",
        )

    def __iter__(self) -> NoReturn:
        raise stopped("SG302", "this list is known only when the saga runs", "`flow.each(...)`")

    if not TYPE_CHECKING:  # hidden, so that the checkers report such uses themselves

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):
                raise AttributeError(name)
            raise _unknown(f"`.{name}`")

        def __getitem__(self, key: object) -> NoReturn:
            raise _unknown(f"`[{key!r}]`")

        def __len__(self) -> NoReturn:
            raise _unknown("`len(...)`")

        def __format__(self, _: str) -> NoReturn:
            raise _unknown("the text of this value")


class Call(Generic[T_co]):
    """A step or a block with its arguments, not yet placed: `flow.do(...)` places it."""

    __slots__ = ("_planned",)

    def __init__(self, planned: Planned) -> None:
        self._planned = planned

    def __repr__(self) -> str:
        return f"Call({self._planned.name})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("__"):
                raise AttributeError(name)
            raise _unknown(f"`.{name}`")


def made_of(later: Later[Any]) -> Made:
    """Open a `Later`."""
    return later._made  # noqa: SLF001  # a Later shows nothing to its users


def planned_of(call: Call[Any]) -> Planned:
    """Open a `Call`."""
    return call._planned  # noqa: SLF001  # as above


def stopped(code: str, text: str, cure: str) -> DefinitionError:
    """Make the error that ends the drawing of a plan at the user's line."""
    return DefinitionError((Problem(code, here(), text, cure),))


def _unknown(what: str) -> DefinitionError:
    return stopped(
        "SG303", f"{what} is not known yet", "read it in a step or a `@derive` function"
    )
