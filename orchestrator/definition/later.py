"""`Later` and `Call`: a value that is known only when the saga runs, and a call not yet placed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from orchestrator.definition.problem import Problem, here, user_frame
from orchestrator.definition.syntax import unpacked_count
from orchestrator.errors import DefinitionError

if TYPE_CHECKING:
    from orchestrator.definition.drawing import Drawing, Made, Planned

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

    if TYPE_CHECKING:  # so that the checkers report such uses themselves

        def __bool__(self) -> NoReturn: ...

        def __iter__(self) -> NoReturn: ...

    else:  # each is told, and the drawing goes on with what stands for the answer

        def __bool__(self) -> bool:
            _mistaken_about(self, "SG301", DECIDED, DECIDED_CURE)
            drawing, place = present_drawing(), here()
            first = place not in drawing.asked
            drawing.asked.add(place)
            return first  # a second time it is False: a `while` must end

        def __iter__(self) -> Iterator[Later[Any]]:
            text = "this list is known only when the saga runs"
            item = _mistaken_about(self, "SG302", text, "`flow.each(...)`")
            present_drawing().asked.add(here())
            return iter([item] * unpacked_count(user_frame()))

        def __getattr__(self, name: str) -> Later[Any]:
            if name.startswith("__"):
                raise AttributeError(name)
            return _looked_into(self, f"`.{name}`")

        def __getitem__(self, key: object) -> Later[Any]:
            return _looked_into(self, f"`[{key!r}]`")

        def __len__(self) -> int:
            # `list(...)` asks for the length as well, once it has begun.
            if present_drawing() is None or here() not in present_drawing().asked:
                _looked_into(self, "`len(...)`")
            return 1

        def __format__(self, _: str) -> NoReturn:
            # Nothing can stand for a text or a number: the statement ends here, the drawing goes on.
            _looked_into(self, "the text of this value")
            raise DefinitionError(())

        def __int__(self) -> NoReturn:
            _looked_into(self, "this number")
            raise DefinitionError(())

        __float__ = __int__

        def __call__(self, *_: object, **__: object) -> Later[Any]:
            """Tell that nothing can be called before it is known."""
            return _looked_into(self, "`(...)`")

        def __contains__(self, _: object) -> bool:
            _looked_into(self, "`in`")
            return False

        def __index__(self) -> int:
            _looked_into(self, "this number")
            return 1


def _calculation(sign: str) -> Callable[..., Later[Any]]:
    def calculate(value: Later[Any], _: object = None) -> Later[Any]:
        return _looked_into(value, f"`{sign}`")

    return calculate


for _sign, _name in {"+": "add", "-": "sub", "*": "mul", "/": "truediv", "//": "floordiv"}.items():
    setattr(Later, f"__{_name}__", _calculation(_sign))
    setattr(Later, f"__r{_name}__", _calculation(_sign))


class Call(Generic[T_co]):
    """A step or a block with its arguments, not yet placed: `flow.do(...)` places it."""

    __slots__ = ("_planned",)

    def __init__(self, planned: Planned) -> None:
        self._planned = planned

    def __repr__(self) -> str:
        return f"Call({self._planned.name})"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Later[Any]:
            if name.startswith("__"):
                raise AttributeError(name)
            self._planned.excused = True  # it was to be a value: one report
            return _looked_into(None, f"`.{name}`")


def made_of(later: Later[Any]) -> Made:
    """Open a `Later`."""
    return later._made  # noqa: SLF001  # a Later shows nothing to its users


def planned_of(call: Call[Any]) -> Planned:
    """Open a `Call`."""
    return call._planned  # noqa: SLF001  # as above


# --- mistakes -----------------------------------------------------------------------------------

DECIDED = "a decision in a plan is taken once, when the plan is drawn"
DECIDED_CURE = "`flow.when`, `flow.choose` or a `@derive` function"

# Only for mistakes: what is right finds its drawing through the values it is given, but a call that
# is given none has nothing else to tell where it stands.
_PRESENT: ContextVar[Drawing | None] = ContextVar("present_drawing", default=None)


@contextmanager
def being_drawn(drawing: Drawing) -> Iterator[None]:
    """Let mistakes be told to `drawing`."""
    token = _PRESENT.set(drawing)
    try:
        yield
    finally:
        _PRESENT.reset(token)


def present_drawing() -> Drawing | None:
    """Give the drawing that is under way, if one is."""
    return _PRESENT.get()


def mistaken(code: str, text: str, cure: str) -> Later[Any]:
    """Tell a mistake at the user's line; give what stands for the value that should be there.

    Raises DefinitionError outside of a plan, where nobody collects what is told.
    """
    drawing = _PRESENT.get()
    if drawing is None:
        raise stopped(code, text, cure)
    drawing.told.append(Problem(code, here(), text, cure))
    return Later(drawing.unknown())


def stopped(code: str, text: str, cure: str) -> DefinitionError:
    """Make the error of a single mistake at the user's line."""
    return DefinitionError((Problem(code, here(), text, cure),))


def _mistaken_about(value: Later[Any] | None, code: str, text: str, cure: str) -> Later[Any]:
    # Of what only stands for a value nothing is told: it is the consequence of another mistake.
    if value is not None and made_of(value).unknown and _PRESENT.get() is not None:
        return value
    return mistaken(code, text, cure)


def _looked_into(value: Later[Any] | None, what: str) -> Later[Any]:
    text, cure = f"{what} is not known yet", "read it in a step or a `@derive` function"
    return _mistaken_about(value, "SG303", text, cure)
