"""Avro's types that have no parts, read strictly: numbers, texts, bytes, booleans.

Readers are made for bytes of strangers: what fastavro lets through (over-long numbers, negative
lengths, numbers out of range, bytes left over) is refused here. Everything that goes wrong in a reader
is a `DecodeError`, or one of `READ_ERRORS`, which `Codec.decode` turns into one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from math import isfinite
from typing import Any, Generic, NamedTuple, NoReturn, TypeAlias, TypeVar

from orchestrator.codec.refusals import refuse

Reader: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
"""Bytes and a position in; the value and the position after it out."""
Writer: TypeAlias = Callable[[Any, list[bytes]], None]
"""Appends the encoding of a value. Raises one of `WRITE_ERRORS` for a value of another type."""

V = TypeVar("V")

READ_ERRORS = (IndexError, UnicodeDecodeError, struct.error)
WRITE_ERRORS = (TypeError, ValueError, AttributeError, KeyError, struct.error)

_INT_MIN, _INT_MAX = -(1 << 31), (1 << 31) - 1
_LONG_MIN, _LONG_MAX = -(1 << 63), (1 << 63) - 1
_VARINT_BYTES_MAX = 10
_DOUBLE = struct.Struct("<d")
FALSE, TRUE = b"\x00", b"\x01"
ITEMS_MAX = 65_536
"""Items in one array or map. More is no payload but an attempt on the memory of the worker."""


class Codec(NamedTuple):
    """A compiled schema."""

    read: Reader
    write: Writer

    def encode(self, value: object) -> bytes:
        """Encode. Raises one of `WRITE_ERRORS` for a value of another type."""
        out: list[bytes] = []
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
        if end > len(data):
            raise refuse("malformed_record", f"{end - len(data)} bytes are missing")
        if end < len(data):
            raise refuse("trailing_bytes", f"{len(data) - end} bytes are left over")
        return value


def _varint(value: int) -> bytes:
    rest = value << 1 if value >= 0 else ~(value << 1)
    if 0x4000 <= rest < 0x10000000:  # most offsets, without the loop
        low, middle = rest & 0x7F | 0x80, rest >> 7 & 0x7F | 0x80
        if rest < 0x200000:
            return bytes((low, middle, rest >> 14))
        return bytes((low, middle, rest >> 14 & 0x7F | 0x80, rest >> 21))
    out = bytearray()
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


READY_COUNT = 4_096
READY = tuple(_varint(value) for value in range(READY_COUNT))
"""Most numbers and lengths are small: looked up, not computed."""
_RECURRING_COUNT_MAX = 16_384
"""Values that are remembered, unless more are wanted; when there are more, it begins anew."""
_RECURRING_BYTES_MAX = 256
"""Longest encoding that is remembered: of long ones, copying is the most of the work anyway."""


def far_long(value: int) -> bytes:
    """Encode a number of 64 bits that is not in `READY`. Raises ValueError if it has more."""
    if not _LONG_MIN <= value <= _LONG_MAX:
        raise ValueError(f"{value} does not fit 64 bits")
    return _varint(value)


@lru_cache(maxsize=256, typed=True)
def far_int(value: int) -> bytes:
    """Encode a number of 32 bits that is not in `READY`. Raises ValueError if it has more."""
    if not _INT_MIN <= value <= _INT_MAX:
        raise ValueError(f"{value} does not fit 32 bits")
    return _varint(value)


class Recurring(Generic[V]):
    """Encodings of values that recur, each computed when it is first asked for."""

    def __init__(
        self, encode: Callable[[V], bytes], count_max: int = _RECURRING_COUNT_MAX
    ) -> None:
        """Compute them by `encode`; remember at most `count_max`."""
        self._encode = encode
        self._count_max = count_max
        self._known: dict[V, bytes] = {}
        self.known = self._known.get
        """Give the encoding of a value, or None. A look-up in a plain dict: what defines
        `__missing__` costs four times as much, and `lru_cache` six times."""

    def new(self, value: V) -> bytes:
        """Encode a value, and remember it. Raises one of `WRITE_ERRORS` if it is of another type."""
        encoded = self._encode(value)
        if len(self._known) >= self._count_max:
            self._known.clear()
        if len(encoded) <= _RECURRING_BYTES_MAX:
            self._known[value] = encoded
        return encoded


def write_long(value: int, out: list[bytes]) -> None:
    """Write a number of 64 bits."""
    out.append(READY[value] if 0 <= value < READY_COUNT else far_long(value))


def _write_int(value: int, out: list[bytes]) -> None:
    out.append(READY[value] if 0 <= value < READY_COUNT else far_int(value))


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """Read a number of 64 bits in its shortest form."""
    byte = data[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    return _read_far(data, at, byte)


def _read_far(data: bytes, at: int, byte: int) -> tuple[int, int]:
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


def no_items(value: object) -> NoReturn:
    """Refuse to write a value as an array."""
    if not isinstance(value, tuple):
        raise TypeError(f"a tuple is wanted, not {value!r}")
    raise ValueError(f"{len(value)} items, at most {ITEMS_MAX}")


def no_boolean(value: object) -> NoReturn:
    """Refuse to write a value as a boolean."""
    raise TypeError(f"a bool is wanted, not {value!r}")


def _write_boolean(value: bool, out: list[bytes]) -> None:  # noqa: FBT001
    if value is True:
        out.append(TRUE)
    elif value is False:
        out.append(FALSE)
    else:
        no_boolean(value)


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


def _text_writer(errors: str) -> Writer:
    def write(value: str, out: list[bytes]) -> None:
        text = value.encode("utf-8", errors)
        write_long(len(text), out)
        out.append(text)

    return write


def primitives(text_errors: str) -> dict[str, Codec]:
    """Give the codec of each of Avro's types that has no parts.

    Args:
        text_errors: What to do with text that is no Unicode: `strict` or `replace`.
    """
    return {
        "null": Codec(_read_null, _write_null),
        "boolean": Codec(_read_boolean, _write_boolean),
        "int": Codec(_read_int, _write_int),
        "long": Codec(read_long, write_long),
        "double": Codec(_read_double, _write_double),
        "bytes": Codec(_read_bytes, _write_bytes),
        "string": Codec(_read_string, _text_writer(text_errors)),
    }
