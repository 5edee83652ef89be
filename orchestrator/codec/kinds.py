"""What may travel: a type's annotation, taken apart once.

Schema, JSON form and checks are each one function over this small tree. Fields may be `str`, `int`,
`bool`, `float`, `bytes`, another payload (a frozen dataclass), a `StrEnum`, `tuple[X, ...]`,
`dict[str, X]` and `X | None`.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from orchestrator.errors import DefinitionError

MISSING = dataclasses.MISSING
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCALARS = (str, int, bool, float, bytes)


class Scalar(NamedTuple):
    """A text, a number, a truth or bytes."""

    type: type


class Optional(NamedTuple):
    """A value or None."""

    inner: Kind


class Many(NamedTuple):
    """A tuple of any length."""

    inner: Kind


class Mapped(NamedTuple):
    """A dict with texts as keys."""

    inner: Kind


class Choice(NamedTuple):
    """A `StrEnum`."""

    type: type[StrEnum]


class Field(NamedTuple):
    """One field of a record. `default` MISSING: it must be given."""

    name: str
    kind: Kind
    default: Any


class Record(NamedTuple):
    """A payload's class."""

    type: type
    fields: tuple[Field, ...]


Kind: TypeAlias = Scalar | Optional | Many | Mapped | Choice | Record


class Problem(NamedTuple):
    """One thing that cannot travel."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@lru_cache(maxsize=4_096)
def kind_of(annotation: Any) -> Kind:
    """Take a type apart. Raises DefinitionError if a value of it cannot travel."""
    return _kind(annotation, getattr(annotation, "__name__", str(annotation)), ())


def kinds_in(annotation: Any) -> Iterator[Kind]:
    """Give a type's kind and those of all its parts. Raises as `kind_of`."""
    stack = [kind_of(annotation)]
    while stack:
        kind = stack.pop()
        yield kind
        if isinstance(kind, Record):
            stack.extend(field.kind for field in kind.fields)
        elif isinstance(kind, Optional | Many | Mapped):
            stack.append(kind.inner)


def holds_many(annotation: Any) -> bool:
    """Say whether a tuple or a dict is anywhere in a type: Avro writes those in more than one way."""
    return any(isinstance(kind, Many | Mapped) for kind in kinds_in(annotation))


def _problem(place: str, text: str) -> DefinitionError:
    return DefinitionError((Problem(place, text),))


def _kind(annotation: Any, place: str, within: tuple[type, ...]) -> Kind:
    if annotation in _SCALARS:
        return Scalar(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return _optional(arguments, place, within)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return Many(_kind(arguments[0], f"{place}[]", within))
    if origin is dict and arguments[0] is str:
        return Mapped(_kind(arguments[1], f"{place}[]", within))
    if isinstance(annotation, type) and origin is None:
        if issubclass(annotation, StrEnum):
            return _choice(annotation, place)
        if dataclasses.is_dataclass(annotation):
            return _record(annotation, place, within)
    raise _problem(
        place,
        f"{annotation!r} cannot travel. Allowed: str, int, bool, float, bytes, a payload, a StrEnum, "
        "tuple[X, ...], dict[str, X], X | None",
    )


def _optional(arguments: tuple[Any, ...], place: str, within: tuple[type, ...]) -> Kind:
    present = [part for part in arguments if part is not types.NoneType]
    if len(present) != 1 or len(arguments) != 2:
        raise _problem(place, "a union may only be of one type and None")
    return Optional(_kind(present[0], place, within))


def _choice(kind: type[StrEnum], place: str) -> Choice:
    wrong = [member.value for member in kind if not _NAME.fullmatch(member.value)]
    if wrong or not len(kind):
        raise _problem(place, f"values of {kind.__name__} must be Avro names, not {wrong}")
    return Choice(kind)


def _record(kind: type, place: str, within: tuple[type, ...]) -> Record:
    if kind in within:
        raise _problem(place, f"{kind.__name__} is within itself; that cannot travel")
    hints = typing.get_type_hints(kind)
    return Record(
        kind,
        tuple(
            Field(
                field.name,
                _kind(hints[field.name], f"{place}.{field.name}", (*within, kind)),
                _default(field),
            )
            for field in dataclasses.fields(kind)
        ),
    )


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
