"""Avro's binary form, read strictly and written plainly.

A schema is compiled once into a reader and a writer. Readers are made for bytes of strangers: what
fastavro lets through (over-long numbers, negative indices and lengths, numbers out of range, bytes
left over) is refused here, and nothing is allocated before the bytes for it have been seen.

Records are tuples by default; a `Shape` makes them any other object. Everything that goes wrong in a
reader is a `DecodeError`, or one of `READ_ERRORS`, which `Codec.decode` turns into one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple, TypeAlias

from orchestrator.codec.refusals import refuse

Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""Bytes and a position in; the value and the position after it out."""
Writer: TypeAlias = Callable[[Any, list[bytes]], None]
"""Appends the encoding of a value. Raises one of `WRITE_ERRORS` for a value of another type."""

READ_ERRORS = (IndexError, UnicodeDecodeError, struct.error)
WRITE_ERRORS = (TypeError, ValueError, AttributeError, KeyError, struct.error)

ITEMS_MAX = 65_536
"""Items in one array or map. More is no payload but an attempt on the memory of the worker."""

_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1
_VARINT_BYTES_MAX = 10
_DOUBLE = struct.Struct("<d")
_FALSE, _TRUE = b"\x00", b"\x01"


class Shape(NamedTuple):
    """How a record, or an enum, looks in Python."""

    type: type
    make: Callable[[Any], Any]
    """From the list of a record's fields, or the symbol of an enum."""
    take: Callable[[Any], Any]
    """To a sequence of a record's fields, or the symbol of an enum."""


class Codec(NamedTuple):
    """A compiled schema."""

    read: Reader
    write: Writer

    def encode(self, value: object, prefix: bytes = b"") -> bytes:
        """Encode, after a prefix. Raises one of `WRITE_ERRORS` for a value of another type."""
        out = [prefix]
        self.write(value, out)
        return b"".join(out)

    def decode(self, data: bytes, start: int = 0) -> Any:
        """Decode exactly the bytes from `start` on. Raises DecodeError, and nothing else."""
        try:
            value, end = self.read(data, start)
        except READ_ERRORS as error:
            raise refuse(
                "malformed_record", f"the bytes do not fit the schema: {error}"
            ) from error
        if end != len(data):
            raise refuse("trailing_bytes", f"{len(data) - end} bytes are left over")
        return value


# --- primitives ---------------------------------------------------------------------------------


def _varint(value: int) -> bytes:
    rest = value << 1 if value >= 0 else ~(value << 1)
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_READY = tuple(_varint(value) for value in range(4_096))
"""Most numbers and lengths are small: looked up, not computed."""


def write_long(value: int, out: list[bytes]) -> None:
    """Write a number of 64 bits."""
    if 0 <= value < len(_READY):
        out.append(_READY[value])
    elif _LONG_MIN <= value <= _LONG_MAX:
        out.append(_varint(value))
    else:
        raise ValueError(f"{value} does not fit 64 bits")


def _write_int(value: int, out: list[bytes]) -> None:
    if 0 <= value < len(_READY):
        out.append(_READY[value])
    elif _INT_MIN <= value <= _INT_MAX:
        out.append(_varint(value))
    else:
        raise ValueError(f"{value} does not fit 32 bits")


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 64 bits in its shortest form."""
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    bits, shift, end = byte & 0x7F, 7, at + 1
    while byte > 0x7F:
        byte = data[end]
        bits |= (byte & 0x7F) << shift
        shift += 7
        end += 1
        if end - at > _VARINT_BYTES_MAX:
            raise refuse("malformed_record", "a number has more than 64 bits")
    if byte == 0:
        raise refuse("malformed_record", "a number is longer than it need be")
    if bits >> 64:
        raise refuse("malformed_record", "a number has more than 64 bits")
    return (bits >> 1) ^ -(bits & 1), end


def _read_int(data: bytes, at: int) -> tuple[int, int]:
    value, end = read_long(data, at)
    if not _INT_MIN <= value <= _INT_MAX:
        raise refuse("out_of_range", f"{value} does not fit 32 bits")
    return value, end


def _read_null(_data: bytes, at: int) -> tuple[None, int]:
    return None, at


def _write_null(value: None, _out: list[bytes]) -> None:
    if value is not None:
        raise TypeError(f"None is wanted, not {value!r}")


def _read_boolean(data: bytes, at: int) -> tuple[bool, int]:
    byte = data[at]
    if byte > 1:
        raise refuse("malformed_record", f"a boolean is {byte}")
    return byte == 1, at + 1


def _write_boolean(value: bool, out: list[bytes]) -> None:  # noqa: FBT001
    if value is True:
        out.append(_TRUE)
    elif value is False:
        out.append(_FALSE)
    else:
        raise TypeError(f"a bool is wanted, not {value!r}")


def _read_double(data: bytes, at: int) -> tuple[float, int]:
    (value,) = _DOUBLE.unpack_from(data, at)
    if not isfinite(value):
        raise refuse("out_of_range", "a number is not finite")
    return value, at + 8


def _write_double(value: float, out: list[bytes]) -> None:
    if not isfinite(value):
        raise ValueError("a number is not finite")
    out.append(_DOUBLE.pack(value))


def _read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, start = read_long(data, at)
    end = start + length
    if length < 0 or end > len(data):
        raise refuse("malformed_record", f"a length is {length}, {len(data) - start} bytes follow")
    return data[start:end], end


def _write_bytes(value: bytes, out: list[bytes]) -> None:
    if type(value) is not bytes:
        raise TypeError(f"bytes are wanted, not {value!r}")
    write_long(len(value), out)
    out.append(value)


def _read_string(data: bytes, at: int) -> tuple[str, int]:
    length, start = read_long(data, at)
    end = start + length
    if length < 0 or end > len(data):
        raise refuse("malformed_record", f"a length is {length}, {len(data) - start} bytes follow")
    return data[start:end].decode(), end


def _write_string(value: str, out: list[bytes]) -> None:
    text = value.encode()
    write_long(len(text), out)
    out.append(text)


def _write_lossy_string(value: str, out: list[bytes]) -> None:
    # What the engine says about others' errors may hold half characters; it must never fail.
    text = value.encode("utf-8", "replace")
    write_long(len(text), out)
    out.append(text)


_PRIMITIVES = {
    "null": Codec(_read_null, _write_null),
    "boolean": Codec(_read_boolean, _write_boolean),
    "int": Codec(_read_int, _write_int),
    "long": Codec(read_long, write_long),
    "double": Codec(_read_double, _write_double),
    "bytes": Codec(_read_bytes, _write_bytes),
    "string": Codec(_read_string, _write_string),
}
_PYTHON_TYPES: dict[object, type] = {
    "null": type(None),
    "boolean": bool,
    "int": int,
    "long": int,
    "double": float,
    "bytes": bytes,
    "string": str,
    "array": tuple,
    "map": dict,
}


# --- schemas ------------------------------------------------------------------------------------


def compile_schema(
    schema: object, shapes: Mapping[str, Shape] | None = None, *, lossy_text: bool = False
) -> Codec:
    """Compile a schema that has passed `lint.problems`.

    Args:
        schema: As parsed from JSON.
        shapes: By name of record or enum; others are tuples and strings.
        lossy_text: Write text that is no Unicode with `?` in its place, instead of refusing it.

    Raises:
        ValueError: The schema has a type that the engine does not use.
    """
    primitives = dict(_PRIMITIVES)
    if lossy_text:
        primitives["string"] = Codec(_read_string, _write_lossy_string)
    return _Compiler(shapes or {}, primitives).compile(schema)


class _Compiler:
    """Compiles the parts of one schema; remembers the named ones."""

    def __init__(self, shapes: Mapping[str, Shape], primitives: dict[str, Codec]) -> None:
        self._shapes = shapes
        self._known = primitives
        self._types = dict(_PYTHON_TYPES)

    def compile(self, schema: object) -> Codec:
        if isinstance(schema, str):
            if schema not in self._known:
                raise ValueError(f"the type {schema!r} is not used here")
            return self._known[schema]
        if isinstance(schema, list):
            return self._union(schema)
        if not isinstance(schema, dict):
            raise ValueError(f"{schema!r} is no schema")  # noqa: TRY004
        kind = schema["type"]
        if kind == "array":
            return _array(self.compile(schema["items"]))
        if kind == "map":
            return _map(self.compile(schema["values"]), self._known["string"])
        if kind in {"record", "enum"}:
            return self._named(schema)
        return self.compile(kind)

    def _named(self, schema: dict[str, Any]) -> Codec:
        name = schema["name"].rpartition(".")[2]
        shape = self._shapes.get(name)
        if schema["type"] == "enum":
            codec = _enum(schema["symbols"], shape)
        else:
            codec = _record([self.compile(field["type"]) for field in schema["fields"]], shape)
        self._known[schema["name"]] = codec
        self._types[schema["name"]] = shape.type if shape else tuple
        return codec

    def _union(self, schema: list[object]) -> Codec:
        codecs = [self.compile(branch) for branch in schema]
        return _union(codecs, [self._python_type(branch) for branch in schema])

    def _python_type(self, schema: object) -> type:
        if isinstance(schema, dict):
            kind = schema["type"]
            return self._types[schema["name"] if kind in {"record", "enum"} else kind]
        return self._types[schema]


def _record(fields: Sequence[Codec], shape: Shape | None) -> Codec:
    readers = tuple(field.read for field in fields)
    writers = tuple(field.write for field in fields)
    make: Callable[[Any], Any] = shape.make if shape else tuple
    take: Callable[[Any], Any] = shape.take if shape else tuple

    def read(data: bytes, at: int) -> tuple[Any, int]:
        values = []
        for reader in readers:
            value, at = reader(data, at)
            values.append(value)
        return make(values), at

    def write(value: object, out: list[bytes]) -> None:
        for writer, part in zip(writers, take(value), strict=True):
            writer(part, out)

    return Codec(read, write)


def _enum(symbols: Sequence[str], shape: Shape | None) -> Codec:
    make = shape.make if shape else str
    members = tuple(make(symbol) for symbol in symbols)
    numbers = {member: _varint(number) for number, member in enumerate(members)}

    def read(data: bytes, at: int) -> tuple[Any, int]:
        number, end = read_long(data, at)
        if not 0 <= number < len(members):
            raise refuse("out_of_range", f"an enum of {len(members)} has number {number}")
        return members[number], end

    def write(value: object, out: list[bytes]) -> None:
        out.append(numbers[value])

    return Codec(read, write)


def _blocks(data: bytes, at: int, item: Callable[[int], int]) -> int:
    """Read Avro's blocks; `item` reads one from a position on and gives the next."""
    items_count = 0
    while True:
        count, at = read_long(data, at)
        if count == 0:
            return at
        block_bytes: int | None = None
        if count < 0:
            count = -count
            block_bytes, at = read_long(data, at)
        items_count += count
        if items_count > ITEMS_MAX:
            raise refuse("too_many_items", f"{items_count} items, at most {ITEMS_MAX}")
        start = at
        for _ in range(count):
            at = item(at)
        if block_bytes is not None and block_bytes != at - start:
            raise refuse("malformed_record", f"a block of {at - start} bytes says {block_bytes}")


def _array(items: Codec) -> Codec:
    read_item, write_item = items

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        if data[at] == 0:
            return (), at + 1
        values: list[Any] = []

        def item(position: int) -> int:
            value, position = read_item(data, position)
            values.append(value)
            return position

        end = _blocks(data, at, item)
        return tuple(values), end

    def write(value: tuple[Any, ...], out: list[bytes]) -> None:
        if not isinstance(value, tuple):
            raise TypeError(f"a tuple is wanted, not {value!r}")
        if len(value) > ITEMS_MAX:
            raise ValueError(f"{len(value)} items, at most {ITEMS_MAX}")
        if value:
            write_long(len(value), out)
            for part in value:
                write_item(part, out)
        out.append(_FALSE)

    return Codec(read, write)


def _map(values: Codec, keys: Codec) -> Codec:
    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        found: dict[str, Any] = {}

        def item(position: int) -> int:
            key, position = keys.read(data, position)
            if key in found:
                raise refuse("malformed_record", f"the key {key!r} is there twice")
            found[key], position = values.read(data, position)
            return position

        return found, _blocks(data, at, item)

    def write(value: dict[str, Any], out: list[bytes]) -> None:
        if not isinstance(value, dict):
            raise TypeError(f"a dict is wanted, not {value!r}")
        if len(value) > ITEMS_MAX:
            raise ValueError(f"{len(value)} items, at most {ITEMS_MAX}")
        if value:
            write_long(len(value), out)
            # Sorted: equal maps must give equal bytes, whatever the order they were filled in.
            for key, part in sorted(value.items()):
                keys.write(key, out)
                values.write(part, out)
        out.append(_FALSE)

    return Codec(read, write)


def _union(branches: Sequence[Codec], types: Sequence[type]) -> Codec:
    readers = tuple(branch.read for branch in branches)
    numbers = {kind: number for number, kind in enumerate(types)}
    rest = [number for number, kind in enumerate(types) if kind is not type(None)]

    def read(data: bytes, at: int) -> tuple[Any, int]:
        number, at = read_long(data, at)
        if not 0 <= number < len(readers):
            raise refuse("out_of_range", f"a union of {len(readers)} has number {number}")
        return readers[number](data, at)

    def write(value: object, out: list[bytes]) -> None:
        number = numbers.get(type(value), rest[0] if len(rest) == 1 else -1)
        if number < 0:
            raise TypeError(f"no branch takes {value!r}")
        out.append(_READY[number])
        branches[number].write(value, out)

    return Codec(read, write)


__all__ = [
    "ITEMS_MAX",
    "READ_ERRORS",
    "WRITE_ERRORS",
    "Codec",
    "Reader",
    "Shape",
    "Writer",
    "compile_schema",
    "read_long",
    "write_long",
]
