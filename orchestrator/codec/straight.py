"""Straight-line readers and writers for records: the hot path's half of `binary`.

A record of ten fields read by a loop over ten readers costs three times what the same reads cost
written out one after the other. So they are written out: as Python source, from the record's field
types alone (never from a name or a value of anybody), as the standard library does for dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
_PREPARE = {"string": "    t{i} = v{i}.encode('utf-8', errors)\n"}
_PIECES = {
    "string": (_LENGTH.replace("{x}", "t"), "t{i}"),
    "bytes": (_LENGTH.replace("{x}", "v"), "v{i}"),
    "long": (_NUMBER.replace("{far}", "far_long"),),
    "int": (_NUMBER.replace("{far}", "far_int"),),
    "boolean": ("true if v{i} is True else false if v{i} is False else wrong(v{i})",),
}
"""For each type, the pieces that field number i adds to the output."""


class Layout(NamedTuple):
    """How a value of one class lies in a record that has more fields than it."""

    fields: tuple[int, ...]
    """For each part of the value, which field of the record it is."""
    rest: Mapping[int, bytes]
    """The encoding of every other field, which is always the same."""


def reader(types: Sequence[str], names: Mapping[str, Any]) -> Callable[[bytes, int], Any]:
    """Write a reader of fields of these types. `names`: `make`, and `r0`, `r1`, ... of each field."""
    body = "".join(
        _READ.get(kind, _READ["other"]).format(i=number) for number, kind in enumerate(types)
    )
    values = "".join(f"v{number}, " for number in range(len(types)))
    source = f"def function(data, at):{body}\n    return make(({values})), at\n"
    made: Callable[[bytes, int], Any] = _function(source, names)
    return made


def writer(
    types: Sequence[str], names: Mapping[str, Any], layout: Layout | None = None
) -> Callable[[Any, list[bytes]], None]:
    """Write a writer of fields of these types. `names`: `take`, `w0`, `w1`, ..., and the pieces' own.

    With a layout: of values that have some of the fields, and are tuples.
    """
    fields = range(len(types)) if layout is None else layout.fields
    rest = {} if layout is None else layout.rest
    lines, pieces = [], list[str | bytes]()
    for number, kind in enumerate(types):
        if number in rest:
            pieces.append(rest[number])
            continue
        lines.append(_PREPARE.get(kind, "").format(i=number))
        if kind in _PIECES:
            pieces += [piece.format(i=number) for piece in _PIECES[kind]]
        else:
            lines.append(_flush(pieces) + f"    w{number}(v{number}, out)\n")
            pieces = []
    lines.append(_flush(pieces))
    values = "".join(f"v{number}, " for number in fields)
    taken = "take(value)" if layout is None else "value"
    source = f"def function(value, out):\n    [{values}] = {taken}\n{''.join(lines)}"
    made: Callable[[Any, list[bytes]], None] = _function(source, names)
    return made


def _flush(pieces: Sequence[str | bytes]) -> str:
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
