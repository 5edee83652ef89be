"""Straight-line readers and writers for records: the hot path's half of `binary`.

A record of ten fields read by a loop over ten readers costs three times what the same reads cost
written out one after the other. So they are written out, records within records too: as Python
source, from the fields' types and the attributes of plain classes (never from a value of anybody),
as the standard library does for dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, TypeAlias

from orchestrator.codec.primitives import (
    FALSE,
    READY,
    TRUE,
    Codec,
    far_int,
    far_long,
    no_boolean,
)

_READ_PART = """
    n = data[at]
    if not n & 0x81:
        start, at = at + 1, at + 1 + (n >> 1)
        v{i} = data[start:at]{decoded}
    elif n & 1 or not 0 < data[at + 1] < 0x80:
        v{i}, at = r{i}(data, at)
    else:
        start, at = at + 2, at + 2 + ((n & 0x7e) >> 1 | data[at + 1] << 6)
        v{i} = data[start:at]{decoded}"""
"""Lengths of one byte and of two; a longer one, and a negative one, goes the long way."""

_READ = {
    "string": _READ_PART.replace("{decoded}", ".decode()"),
    "bytes": _READ_PART.replace("{decoded}", ""),
    "long": """
    n = data[at]
    if n > 0x7f:
        v{i}, at = r{i}(data, at)
    else:
        v{i} = (n >> 1) ^ -(n & 1)
        at += 1""",
    "other": """
    v{i}, at = r{i}(data, at)""",
}
_READ["int"] = _READ["long"]
"""For each type, how field number i is read. An end past the bytes needs no check here: positions
only grow, so the next read, or the check of the whole, finds out."""

_NUMBER = "ready[v{i}] if 0 <= v{i} < ready_count else {far}(v{i})"
_LENGTH = "ready[n] if (n := len({x}{i})) < ready_count else far_long(n)"
_PIECES = {
    "string": (_LENGTH.replace("{x}", "t"), "t{i}"),
    "bytes": (_LENGTH.replace("{x}", "v"), "v{i}"),
    "long": (_NUMBER.replace("{far}", "far_long"),),
    "int": (_NUMBER.replace("{far}", "far_int"),),
    "boolean": ("true if v{i} is True else false if v{i} is False else wrong(v{i})",),
}
"""For each type, the pieces that field number i adds to the output."""


def mistyped(value: object, wanted: type) -> NoReturn:
    """Refuse to write a value of another class: a subclass has fields that would be lost."""
    raise TypeError(f"a {wanted.__name__} is wanted, not {value!r}")


_NAMES: Mapping[str, Any] = {
    "ready": READY,
    "ready_count": len(READY),
    "far_long": far_long,
    "far_int": far_int,
    "true": TRUE,
    "false": FALSE,
    "wrong": no_boolean,
    "new": object.__new__,
    "mistyped": mistyped,
}


class Field(NamedTuple):
    """A field of a record."""

    kind: str
    """Its Avro type, if that is a primitive one; otherwise `other`."""
    codec: Codec
    record: Fields | None = None
    """What it is made of, if it is a record that can be written out in place."""


class Plain(NamedTuple):
    """A class whose objects are their attributes, and may be made of any."""

    type: type
    names: tuple[str, ...]
    """Of the attributes, in the order of the record's fields. They are Python's own identifiers."""


class Fields(NamedTuple):
    """A record as its fields."""

    fields: tuple[Field, ...]
    make: Callable[[Any], Any] | None
    """From the tuple of its fields; None: that tuple is the value."""
    take: Callable[[Any], Any] | None
    """To a sequence of its fields; None: the value is one."""
    plain: Plain | None = None
    """Its class, if neither is needed."""


class Layout(NamedTuple):
    """How a value of one class lies in a record that has more fields than it."""

    fields: tuple[int, ...]
    """For each part of the value, which field of the record it is."""
    rest: Mapping[int, bytes]
    """The encoding of every other field, which is always the same."""


_Piece: TypeAlias = str | bytes
"""An expression, or bytes that are known beforehand."""


def reader(record: Fields) -> Callable[[bytes, int], Any]:
    """Write a reader: bytes and a position in; the value and the position after it out."""
    names = dict(_NAMES)
    body = "".join(_reading(record, "", names))
    source = f"def function(data, at):{body}\n    return v, at\n"
    made: Callable[[bytes, int], Any] = _function(source, names)
    return made


def _reading(record: Fields, path: str, names: dict[str, Any]) -> Iterator[str]:
    inner = [f"{path}_{number}" for number in range(len(record.fields))]
    for at, field in zip(inner, record.fields, strict=True):
        if field.record is not None:
            yield from _reading(field.record, at, names)
        else:
            names[f"r{at}"] = field.codec.read
            yield _READ.get(field.kind, _READ["other"]).format(i=at)
    values = f"({''.join(f'v{at}, ' for at in inner)})"
    if record.plain is not None:
        # What a generated `__init__` does, without its detour around the class's own guard.
        names[f"class{path}_"] = record.plain.type
        yield f"\n    v{path} = new(class{path}_)\n    kept = v{path}.__dict__"
        for name, at in zip(record.plain.names, inner, strict=True):
            yield f"\n    kept[{name!r}] = v{at}"
    elif record.make is None:
        yield f"\n    v{path} = {values}"
    else:
        names[f"make{path}"] = record.make
        yield f"\n    v{path} = make{path}({values})"


def writer(
    record: Fields, text_errors: str, layout: Layout | None = None
) -> Callable[[Any, list[bytes]], None]:
    """Write a writer: it appends a value's encoding to a list.

    With a layout: of values that have some of the fields, and are tuples.
    """
    names = {**_NAMES, "errors": text_errors}
    lines: list[str] = []
    pieces: list[_Piece] = []
    _writing(record, "", names, lines, pieces, layout)
    lines.append(_flush(pieces))
    made: Callable[[Any, list[bytes]], None] = _function(
        f"def function(v, out):\n{''.join(lines)}", names
    )
    return made


def _writing(  # noqa: PLR0917 - what is written so far is handed on as two lists
    record: Fields,
    path: str,
    names: dict[str, Any],
    lines: list[str],
    pieces: list[_Piece],
    layout: Layout | None = None,
) -> None:
    numbers = range(len(record.fields)) if layout is None else layout.fields
    rest: Mapping[int, bytes] = {} if layout is None else layout.rest
    if record.plain is not None:
        names[f"class{path}_"] = record.plain.type
        lines.append(f"    type(v{path}) is class{path}_ or mistyped(v{path}, class{path}_)\n")
        for number, name in enumerate(record.plain.names):
            lines.append(f"    v{path}_{number} = v{path}.{name}\n")
    else:
        names[f"take{path}"] = record.take
        is_taken = layout is None and record.take is not None
        taken = f"take{path}(v{path})" if is_taken else f"v{path}"
        lines.append(f"    [{''.join(f'v{path}_{number}, ' for number in numbers)}] = {taken}\n")
    for number, field in enumerate(record.fields):
        at = f"{path}_{number}"
        if number in rest:
            pieces.append(rest[number])
        elif field.record is not None:
            _writing(field.record, at, names, lines, pieces)
        elif field.kind in _PIECES:
            if field.kind == "string":
                lines.append(f"    t{at} = v{at}.encode('utf-8', errors)\n")
            pieces += [piece.format(i=at) for piece in _PIECES[field.kind]]
        else:
            names[f"w{at}"] = field.codec.write
            lines.append(_flush(pieces) + f"    w{at}(v{at}, out)\n")
            pieces.clear()


def _flush(pieces: Sequence[_Piece]) -> str:
    parts: list[str] = []
    known = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            known += piece  # one literal, however many fields it is
            continue
        parts += [repr(known), piece] if known else [piece]
        known = b""
    parts += [repr(known)] if known else []
    return f"    out += ({', '.join(parts)},)\n" if parts else ""


def _function(source: str, names: Mapping[str, Any]) -> Any:
    scope = dict(names)
    exec(source, scope)  # noqa: S102  # of this file's own templates only, see above
    return scope["function"]
