"""The Avro schema of a type, and how its values look in Python."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from operator import attrgetter
from typing import Any, assert_never

from orchestrator.codec.binary import Shape
from orchestrator.codec.kinds import (
    MISSING,
    Choice,
    Field,
    Kind,
    Many,
    Mapped,
    Optional,
    Problem,
    Record,
    Scalar,
    kind_of,
    kinds_in,
)
from orchestrator.codec.plain import construct
from orchestrator.codec.straight import mistyped
from orchestrator.errors import DefinitionError

_PRIMITIVES = {str: "string", int: "long", bool: "boolean", float: "double", bytes: "bytes"}


def schema_of(annotation: Any) -> Any:
    """Derive the Avro schema of a type that may travel, as parsed JSON.

    A class gives a record of its own name without a namespace, so that moving it to another module
    changes nothing. A field's default becomes the schema's: a later version may add such a field.

    Raises:
        DefinitionError: The type cannot travel, or holds two classes of one name.
    """
    return _Deriver().schema(kind_of(annotation))


def shapes_of(annotation: Any) -> dict[str, Shape]:
    """Give the shape of every class in a type, by name."""
    found: dict[str, Shape] = {}
    for kind in kinds_in(annotation):
        if isinstance(kind, Record):
            found[kind.type.__name__] = _record_shape(kind)
        elif isinstance(kind, Choice):
            found[kind.type.__name__] = Shape(kind.type, kind.type)
    return found


def _record_shape(kind: Record) -> Shape:
    cls, names = kind.type, [field.name for field in kind.fields]
    get = _getter(names)

    def take(value: Any) -> tuple[Any, ...]:
        if type(value) is not cls:
            mistyped(value, cls)
        return get(value)

    def make(values: tuple[Any, ...]) -> Any:
        return construct(cls, (), *values)

    return Shape(cls, make, take, attributes=tuple(names) if is_plain(cls) else None)


def is_plain(cls: type) -> bool:
    """Say whether a dataclass takes any values of its fields' types: no code of its own may refuse."""
    init = getattr(inspect.getattr_static(cls, "__init__"), "__code__", None)
    generated = init is not None and init.co_filename == "<string>"
    new = inspect.getattr_static(cls, "__new__")
    own = hasattr(cls, "__post_init__") or new is not inspect.getattr_static(object, "__new__")
    return generated and not own and cls.__dictoffset__ != 0


def may_refuse(annotation: Any) -> bool:
    """Say whether some class in a type has code that may refuse values of the right types."""
    records = (kind for kind in kinds_in(annotation) if isinstance(kind, Record))
    return not all(is_plain(record.type) for record in records)


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if len(names) > 1:
        return attrgetter(*names)
    if names:
        one = attrgetter(names[0])
        return lambda value: (one(value),)
    return lambda _value: ()


class _Deriver:
    """Derives one schema; a class that is met again is named, not repeated."""

    def __init__(self) -> None:
        self._named: dict[str, type] = {}

    def schema(self, kind: Kind) -> Any:
        match kind:
            case Scalar():
                return _PRIMITIVES[kind.type]
            case Optional():
                return ["null", self.schema(kind.inner)]
            case Many():
                return {"type": "array", "items": self.schema(kind.inner)}
            case Mapped():
                return {"type": "map", "values": self.schema(kind.inner)}
            case Choice() | Record():
                return self._class(kind)
            case _:
                assert_never(kind)

    def _class(self, kind: Choice | Record) -> Any:
        name = kind.type.__name__
        known = self._named.get(name)
        if known is kind.type:
            return name
        if known is not None:
            text = f"two classes have this name: {known!r} and {kind.type!r}"
            raise DefinitionError((Problem(name, text),))
        self._named[name] = kind.type
        if isinstance(kind, Choice):
            return {"type": "enum", "name": name, "symbols": [str(one) for one in kind.type]}
        doc = _own_doc(kind.type)
        return {
            "type": "record",
            "name": name,
            **({"doc": doc} if doc else {}),
            "fields": [self._field(field) for field in kind.fields],
        }

    def _field(self, field: Field) -> Any:
        schema = self.schema(field.kind)
        if field.default is MISSING:
            return {"name": field.name, "type": schema}
        if isinstance(field.kind, Optional) and field.default is not None:
            # Avro: a union's default is of its first branch.
            schema.reverse()
        default = _default(field.kind, field.default)
        return {"name": field.name, "type": schema, "default": default}


def _default(kind: Kind, value: Any) -> Any:
    if isinstance(kind, Optional):
        return None if value is None else _default(kind.inner, value)
    if isinstance(kind, Many):
        return [_default(kind.inner, part) for part in value]
    if isinstance(kind, Mapped):
        return {key: _default(kind.inner, part) for key, part in value.items()}
    if isinstance(kind, Record):
        return {f.name: _default(f.kind, getattr(value, f.name)) for f in kind.fields}
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value) if isinstance(kind, Choice) else value


def _own_doc(cls: type) -> str:
    # A dataclass without a docstring is given its signature as one.
    doc = inspect.cleandoc(cls.__doc__ or "")
    return "" if doc.startswith(f"{cls.__name__}(") else doc
