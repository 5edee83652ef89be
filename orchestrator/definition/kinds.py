"""Types as values: what an annotation says, what fits what, and what a payload may hold."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from orchestrator import guard
from orchestrator.definition.payload import Command, Payload

SCALARS = (str, int, bool, float, bytes)
NONE = type(None)


IMPORT_CURE = (
    "define the types at module level and import them at run time, not only under `TYPE_CHECKING`"
)


class Signature(NamedTuple):
    """A function's annotations. `trouble` says why some cannot be read; these are Any."""

    names: tuple[str, ...]
    takes: tuple[Any, ...]
    gives: Any
    trouble: str = ""
    cure: str = ""


def signature_of(function: Callable[..., Any]) -> Signature:
    """Read the annotations of a user's function, as far as they can be read; never raises."""
    hints, raised = _hints_of(function, getattr(function, "__annotations__", {}))
    troubles = [(f"its annotations raise `{summary}`", IMPORT_CURE) for summary in raised]
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if parameter.kind not in {parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD}:
            troubles.append((f"its parameter `{name}` is not positional", "make it positional"))
        if name not in hints:
            troubles.append((f"its parameter `{name}` has no annotation", "annotate it"))
    if "return" not in hints:
        troubles.append(("its return type is not annotated", "annotate it"))
    takes = tuple(hints.get(name, Any) for name in parameters)
    trouble = "; ".join(dict.fromkeys(text for text, _ in troubles))
    cure = "; ".join(dict.fromkeys(cure for _, cure in troubles))
    return Signature(tuple(parameters), takes, hints.get("return", Any), trouble, cure)


def _hints_of(owner: Any, annotations: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    # One that raises spoils them all: then they are read one by one.
    hints = guard.call(typing.get_type_hints, owner)
    if not isinstance(hints, guard.Raised):
        return hints, []
    found, raised = dict.fromkeys(annotations, Any), []
    module = sys.modules.get(owner.__module__)
    names = getattr(owner, "__globals__", None) or ({} if module is None else vars(module))
    for name, annotation in annotations.items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        hint = guard.call(typing.get_type_hints, alone, names)
        if isinstance(hint, guard.Raised):
            raised.append(hint.summary)
        else:
            found |= hint
    return found, list(dict.fromkeys(raised))


def members(kind: Any) -> tuple[Any, ...]:
    """Give the parts of a union; a type that is none is its own only part."""
    if typing.get_origin(kind) in {typing.Union, types.UnionType}:
        return typing.get_args(kind)
    return (kind,)


@lru_cache(1_024)
def present(kind: Any) -> tuple[Any, ...]:
    """Give the parts of a union without None."""
    return tuple(member for member in members(kind) if member is not NONE)


def union(*kinds: Any) -> Any:
    """Join types; anything joined with Any is Any."""
    parts = tuple(dict.fromkeys(member for kind in kinds for member in members(kind)))
    return Any if Any in parts else typing.Union[parts]  # noqa: UP007  # parts known at run time


def fits(have: Any, want: Any) -> bool:
    """Say whether a value of type `have` may be given where `want` is expected."""
    if Any in (have, want):
        return True
    return all(any(_fits_one(h, w) for w in members(want)) for h in members(have))


def _fits_one(have: Any, want: Any) -> bool:
    if have == want or want is Any or want is object:
        return True
    have_class, want_class = typing.get_origin(have) or have, typing.get_origin(want) or want
    if not (isinstance(have_class, type) and isinstance(want_class, type)):
        return False
    if not issubclass(have_class, want_class) and (have_class, want_class) != (int, float):
        return False
    pairs = zip(typing.get_args(have), typing.get_args(want), strict=False)
    return all(fits(h, w) for h, w in pairs if Ellipsis not in {h, w})


def is_instance(value: object, kind: Any) -> bool:
    """Say whether a value is of an annotated type, as far as can be seen without looking inside."""
    if type(value) is kind:
        return True
    for member in members(kind):
        cls = typing.get_origin(member) or member
        if cls is Any:
            return True
        if cls is float and type(value) in {int, float}:
            return True
        if cls in SCALARS and type(value) is not cls:
            continue
        if isinstance(cls, type) and isinstance(value, cls):
            return True
    return False


def say(kind: Any) -> str:
    """Give a type for people: `SeatReserved | None`."""
    return " | ".join(_say_one(member) for member in members(kind))


def _say_one(kind: Any) -> str:
    if kind is NONE:
        return "None"
    arguments = typing.get_args(kind)
    if arguments:
        inside = ", ".join("..." if part is Ellipsis else say(part) for part in arguments)
        return f"{getattr(typing.get_origin(kind), '__name__', kind)}[{inside}]"
    return str(getattr(kind, "__name__", kind))


def inner(kind: Any) -> Any:
    """Give `T` of `Later[T]`; Any of anything that has no parameter."""
    return (typing.get_args(kind) or (Any,))[0]


# --- commands -----------------------------------------------------------------------------------


def is_command(kind: Any) -> bool:
    """Say whether a type is a command's class."""
    return isinstance(kind, type) and issubclass(kind, Command) and kind is not Command


def answers_of(command: Any) -> tuple[Any, tuple[Any, ...]]:
    """Give the result's type and the declared failures of a command's class."""
    for cls in command.__mro__:
        for base in getattr(cls, "__orig_bases__", ()):
            if typing.get_origin(base) is Command:
                result, *failure = typing.get_args(base)
                declared = members(failure[0]) if failure else ()
                return result, tuple(f for f in declared if f is not typing.Never)
    return Any, ()


# --- what may travel ----------------------------------------------------------------------------


def payloads_in(kind: Any) -> Iterator[type[Payload]]:
    """Give every payload class that a type mentions, itself included, each once."""
    seen: dict[type[Payload], None] = {}
    stack = [kind]
    while stack:
        part = stack.pop()
        if typing.get_args(part) == () and isinstance(part, type) and issubclass(part, Payload):
            if part not in seen:
                seen[part] = None
                stack.extend(reversed(fields_of(part)[0].values()))
        else:
            stack.extend(reversed([p for p in typing.get_args(part) if p is not Ellipsis]))
    return iter(seen)


def fields_of(payload: type[Payload]) -> tuple[dict[str, Any], list[str]]:
    """Give the types of a payload's fields by name, and what annotations that raise have raised."""
    # mypy does not see that every subclass has been made a dataclass
    declared = {field.name: field.type for field in fields(payload)}  # type: ignore[arg-type]
    hints, raised = _hints_of(payload, declared)
    return {name: hints[name] for name in declared if hints[name] is not Any or not raised}, raised


def may_travel(kind: Any) -> bool:
    """Say whether a field, or a derived value, may be of this type.

    The fields of another payload are not looked at: they are reported where it is declared.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return arguments[1:] == (Ellipsis,) and may_travel(arguments[0])
    if origin is dict:
        return arguments[0] is str and may_travel(arguments[1])
    if NONE in arguments and len(arguments) == 2:
        return may_travel(present(kind)[0])
    return origin is None and isinstance(kind, type) and _may_class_travel(kind)


def _may_class_travel(cls: type) -> bool:
    if issubclass(cls, StrEnum):
        # Avro's names: the values are what other languages read.
        return len(cls) > 0 and all(value.isascii() and value.isidentifier() for value in cls)
    return cls in SCALARS or (issubclass(cls, Payload) and cls is not Payload)


def is_unchanging(kind: Any) -> bool:
    """Say whether nothing can change a value of this type: no `dict` is anywhere in it."""
    stack = [kind]
    for payload in payloads_in(kind):
        found, raised = fields_of(payload)
        if raised:
            return False
        stack.extend(found.values())
    while stack:
        part = stack.pop()
        if part is dict or typing.get_origin(part) is dict:
            return False
        stack.extend(typing.get_args(part))
    return True
