"""Straight-line readers and writers for records: the hot path's half of `binary`.

A record of ten fields read by a loop over ten readers costs three times what the same reads cost
written out one after the other. So they are written out: as Python source, from the record's field
types alone (never from a name or a value of anybody), as the standard library does for dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_READ = {
    # A length that takes more than a byte, or is negative, goes the long way.
    "string": """
    n = data[at]
    if n & 0x81:
        v{i}, at = r{i}(data, at)
    else:
        end = at + 1 + (n >> 1)
        v{i} = data[at + 1:end].decode()
        at = end""",
    "bytes": """
    n = data[at]
    if n & 0x81:
        v{i}, at = r{i}(data, at)
    else:
        end = at + 1 + (n >> 1)
        v{i} = data[at + 1:end]
        at = end""",
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

_NUMBER = "ready[{n}] if 0 <= {n} < ready_count else {far}({n})"
_LENGTH = _NUMBER.format(n="len({x})", far="far_long")
_PREPARE = {"string": "    t{i} = v{i}.encode('utf-8', errors)\n"}
_PIECES = {
    "string": (_LENGTH.replace("{x}", "t{i}"), "t{i}"),
    "bytes": (_LENGTH.replace("{x}", "v{i}"), "v{i}"),
    "long": (_NUMBER.format(n="v{i}", far="far_long"),),
    "int": (_NUMBER.format(n="v{i}", far="far_int"),),
    "boolean": ("true if v{i} is True else false if v{i} is False else wrong(v{i})",),
}
"""For each type, the pieces that field number i adds to the output."""


def reader(types: Sequence[str], names: Mapping[str, Any]) -> Callable[[bytes, int], Any]:
    """Write a reader of fields of these types. `names`: `make`, and `r0`, `r1`, ... of each field."""
    body = "".join(
        _READ.get(kind, _READ["other"]).format(i=number) for number, kind in enumerate(types)
    )
    values = "".join(f"v{number}, " for number in range(len(types)))
    source = f"def function(data, at):{body}\n    return make(({values})), at\n"
    made: Callable[[bytes, int], Any] = _function(source, names)
    return made


def writer(types: Sequence[str], names: Mapping[str, Any]) -> Callable[[Any, list[bytes]], None]:
    """Write a writer of fields of these types. `names`: `take`, `w0`, `w1`, ..., and the pieces' own."""
    lines, pieces = [], list[str]()
    for number, kind in enumerate(types):
        lines.append(_PREPARE.get(kind, "").format(i=number))
        if kind in _PIECES:
            pieces += [piece.format(i=number) for piece in _PIECES[kind]]
        else:
            lines.append(_flush(pieces) + f"    w{number}(v{number}, out)\n")
            pieces = []
    lines.append(_flush(pieces))
    values = "".join(f"v{number}, " for number in range(len(types)))
    source = f"def function(value, out):\n    [{values}] = take(value)\n{''.join(lines)}"
    made: Callable[[Any, list[bytes]], None] = _function(source, names)
    return made


def _flush(pieces: Sequence[str]) -> str:
    return f"    out += ({', '.join(pieces)},)\n" if pieces else ""


def _function(source: str, names: Mapping[str, Any]) -> Any:
    scope = dict(names)
    exec(source, scope)  # noqa: S102  # of this file's own templates only, see above
    return scope["function"]
