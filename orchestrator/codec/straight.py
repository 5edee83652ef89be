"""Straight-line readers and writers for records: the hot path's half of `binary`.

A record of ten fields read by a loop over ten readers costs three times what the same reads cost
written out one after the other. So they are written out, records within records too: as Python
source, from the fields' types and the attributes of plain classes (never from a value of anybody),
as the standard library does for dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, TypeAlias

from orchestrator.codec.primitives import (
    FALSE,
    ITEMS_MAX,
    READY,
    TRUE,
    Codec,
    Recurring,
    Writer,
    far_int,
    far_long,
    no_boolean,
    no_items,
    primitives,
)

_READ_PART = """
    if n := past[data[at]]:
        v{i} = data[at + 1:(at := at + n)]{decoded}
    elif data[at] & 1 or not 0 < data[at + 1] < 0x80:
        v{i}, at = r{i}(data, at)
    else:
        n = (data[at] & 0x7e) >> 1 | data[at + 1] << 6
        v{i} = data[at + 2:(at := at + 2 + n)]{decoded}"""
"""Lengths of one byte and of two; a longer one, and a negative one, goes the long way."""

_READ = {
    "string": _READ_PART.replace("{decoded}", ".decode()"),
    "bytes": _READ_PART.replace("{decoded}", ""),
    "long": """
    if (v{i} := near[data[at]]) is None:
        v{i}, at = r{i}(data, at)
    else:
        at += 1""",
    "other": """
    v{i}, at = r{i}(data, at)""",
}
_READ["int"] = _READ["long"]
_READ["name"], _READ["number"] = _READ["string"], _READ["long"]
"""For each kind, how field number i is read. An end past the bytes needs no check here: positions
only grow, so the next read, or the check of the whole, finds out."""

_NEAR = tuple((byte >> 1) ^ -(byte & 1) if byte < 0x80 else None for byte in range(256))
"""For each first byte of a number: the number, if that is all of it."""
_PAST = tuple(1 + (byte >> 1) if not byte & 0x81 else 0 for byte in range(256))
"""For each first byte of a length: where the part ends from there; 0: the length has more bytes, or
is negative."""

_NUMBER = "ready[v{i}] if 0 <= v{i} < ready_count else {far}(v{i})"
_LENGTH = "ready[n] if (n := len({x}{i})) < ready_count else far_long(n)"
_PIECES = {
    "string": (_LENGTH.replace("{x}", "t"), "t{i}"),
    "bytes": (_LENGTH.replace("{x}", "v"), "v{i}"),
    "name": ("name(v{i}) or new_name(v{i})",),
    "long": (_NUMBER.replace("{far}", "far_long"),),
    "number": ("number(v{i}) or new_number(v{i})",),
    "int": (_NUMBER.replace("{far}", "far_int"),),
    "boolean": ("true if v{i} is True else false if v{i} is False else wrong(v{i})",),
}
"""For each kind, the pieces that field number i adds to the output."""


_FEW = 8
"""Items of an array that are encoded sooner than they are looked up: most change before they recur."""
OWN_TEXT_ERRORS = "replace"
"""Records of our own write text that is no Unicode with `?` in its place: what it came from is kept
elsewhere, and must not be refused for it."""
_NAMED = Recurring[str](primitives(OWN_TEXT_ERRORS)["string"].encode)
_NUMBERS = Recurring[int](primitives(OWN_TEXT_ERRORS)["long"].encode)
"""Few are large, and those are times: one is written into events, command, snapshot, one after the
other, and into each later snapshot again."""


def mistyped(value: object, wanted: type) -> NoReturn:
    """Refuse to write a value of another class: a subclass has fields that would be lost."""
    raise TypeError(f"a {wanted.__name__} is wanted, not {value!r}")


_NAMES: Mapping[str, Any] = {
    "ready": READY,
    "ready_count": len(READY),
    "far_long": far_long,
    "far_int": far_int,
    "name": _NAMED.known,
    "new_name": _NAMED.new,
    "number": _NUMBERS.known,
    "new_number": _NUMBERS.new,
    "items_max": ITEMS_MAX,
    "no_items": no_items,
    "near": _NEAR,
    "past": _PAST,
    "true": TRUE,
    "false": FALSE,
    "wrong": no_boolean,
    "new": object.__new__,
    "mistyped": mistyped,
}


class Items(NamedTuple):
    """What writes the items of an array."""

    write: Writer
    by_class: Mapping[type, Writer] = MappingProxyType({})
    """For some classes of items, what writes them sooner."""
    recurring: Recurring[Any] | None = None
    """What remembers their encodings, if the items of long arrays recur."""


class Field(NamedTuple):
    """A field of a record."""

    kind: str
    """Its Avro type, if that is a primitive one, otherwise `other`; `name`, `number`: a string, a long
    of our own that recurs."""
    codec: Codec
    record: Fields | None = None
    """What it is made of, if it is a record that can be written out in place."""
    items: Items | None = None
    """What writes its items, if it is an array of our own."""


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


def reader(record: Fields, title: str) -> Callable[[bytes, int], Any]:
    """Write a reader: bytes and a position in; the value and the position after it out."""
    names = dict(_NAMES)
    body = "".join(_reading(record, "", names))
    source = f"def function(data, at):{body}\n    return v, at\n"
    made: Callable[[bytes, int], Any] = _function(f"read {title}", source, names)
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
    record: Fields, title: str, *, own: bool, layout: Layout | None = None
) -> Callable[[Any, list[bytes]], None]:
    """Write a writer: it appends a value's encoding to a list.

    Args:
        record: What is written.
        title: What the writer is called in a profile.
        own: Whether it is one of the engine's own.
        layout: Of values that have some of the fields, and are tuples.
    """
    writing = _Writing(f"encode('utf-8', {OWN_TEXT_ERRORS!r})" if own else "encode()")
    writing.record(record, "", layout)
    writing.flush()
    source = f"def function(v, out):\n{''.join(writing.lines)}"
    made: Callable[[Any, list[bytes]], None] = _function(f"write {title}", source, writing.names)
    return made


class _Writing:
    """A writer in the making."""

    def __init__(self, encode: str) -> None:
        self.names = dict(_NAMES)
        self._encode = encode
        """How a text becomes bytes."""
        self.lines: list[str] = []
        self._pieces: list[_Piece] = []
        """What the next line appends to the output."""

    def record(self, record: Fields, path: str, layout: Layout | None = None) -> None:
        """Write a record out: its value is `v{path}`, its field number i `v{path}_{i}`."""
        self._take_apart(record, path, layout)
        rest: Mapping[int, bytes] = {} if layout is None else layout.rest
        for number, field in enumerate(record.fields):
            if number in rest:
                self._pieces.append(rest[number])
            else:
                self._field(field, f"{path}_{number}")

    def flush(self) -> None:
        """Append what is ready to the output."""
        parts: list[str] = []
        known = b""
        for piece in self._pieces:
            if isinstance(piece, bytes):
                known += piece  # one literal, however many fields it is
                continue
            parts += [repr(known), piece] if known else [piece]
            known = b""
        parts += [repr(known)] if known else []
        if parts:
            self.lines.append(f"    out += ({', '.join(parts)},)\n")
        self._pieces.clear()

    def _take_apart(self, record: Fields, path: str, layout: Layout | None) -> None:
        if record.plain is not None:
            kind = f"class{path}_"
            self.names[kind] = record.plain.type
            self.lines.append(f"    type(v{path}) is {kind} or mistyped(v{path}, {kind})\n")
            for number, name in enumerate(record.plain.names):
                self.lines.append(f"    v{path}_{number} = v{path}.{name}\n")
            return
        self.names[f"take{path}"] = record.take
        is_taken = layout is None and record.take is not None
        taken = f"take{path}(v{path})" if is_taken else f"v{path}"
        numbers = range(len(record.fields)) if layout is None else layout.fields
        targets = "".join(f"v{path}_{number}, " for number in numbers)
        self.lines.append(f"    [{targets}] = {taken}\n")

    def _field(self, field: Field, at: str) -> None:
        if field.record is not None:
            self.record(field.record, at)
        elif field.kind in _PIECES:
            if field.kind == "string":
                self.lines.append(f"    t{at} = v{at}.{self._encode}\n")
            self._pieces += [piece.format(i=at) for piece in _PIECES[field.kind]]
        elif field.items is not None:
            self._items(field.items, at)
        else:
            self.names[f"w{at}"] = field.codec.write
            self.flush()
            self.lines.append(f"    w{at}(v{at}, out)\n")

    def _items(self, items: Items, at: str) -> None:
        write = f"w{at}"
        self.names[write] = items.write
        self.flush()
        if items.by_class:
            self.names[f"w{at}_"] = items.by_class.get
            write = f"(w{at}_(type(item)) or w{at})"
        self.lines += [
            f"    if v{at}:\n",
            f"        type(v{at}) is tuple and len(v{at}) <= items_max or no_items(v{at})\n",
            f"        out.append({_LENGTH.format(x='v', i=at)})\n",
        ]
        each = [f"        for item in v{at}:\n", f"            {write}(item, out)\n"]
        if items.recurring is None:
            self.lines += each
        else:
            self.names |= {f"k{at}": items.recurring.known, f"n{at}": items.recurring.new}
            self.lines += [
                f"        if n > {_FEW}:\n",
                f"            out += [k{at}(item) or n{at}(item) for item in v{at}]\n",
                "        else:\n",
                *(f"    {line}" for line in each),
            ]
        self._pieces.append(FALSE)


def _function(title: str, source: str, names: Mapping[str, Any]) -> Any:
    # The title is what a profile and a stack trace show in place of a file's name.
    scope = dict(names)
    exec(compile(source, f"<{title}>", "exec"), scope)  # noqa: S102  # of the templates above only
    return scope["function"]
