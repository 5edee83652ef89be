"""Schemas compiled into readers and writers of Avro's binary form.

Nothing is allocated before the bytes for it have been seen, and lists and maps have a largest number
of items. Records are tuples by default; a `Shape` makes them any other object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from orchestrator.codec import straight
from orchestrator.codec.primitives import (
    FALSE,
    ITEMS_MAX,
    READY,
    Codec,
    Recurring,
    Writer,
    no_items,
    primitives,
    read_long,
    write_long,
)
from orchestrator.codec.refusals import refuse

_IN_PLACE_COUNT_MAX = 64
"""Fields of a record, those within it included, that others write out in place."""


class Parts(NamedTuple):
    """How a class of tuples lies in a record that has more fields than it."""

    fields: tuple[int, ...]
    """For each part of such a tuple, the field of the record that it is."""
    rest: Mapping[int, Any]
    """What every other field always is."""


class Own(NamedTuple):
    """What is known of the engine's own records."""

    unique: frozenset[str]
    """Fields whose texts and numbers never recur. The encodings of all others are remembered."""
    recurring_items: frozenset[str] = frozenset()
    """Arrays whose items are written again and again with few of them changed."""


class Shape(NamedTuple):
    """How a record, or an enum, looks in Python."""

    type: type
    make: Callable[[Any], Any]
    """From the tuple of a record's fields, or the symbol of an enum."""
    take: Callable[[Any], Any] | None = None
    """To a sequence of a record's fields; None: the value is one. An enum's are its symbols."""
    parts: Mapping[Any, Parts] = MappingProxyType({})
    """Classes that are written straight, without `take`."""
    attributes: tuple[str, ...] | None = None
    """Of a class whose objects are plain: made and taken apart without `make` and `take`."""


_Json: TypeAlias = Mapping[str, Any]

_ITEMS_REMEMBERED_MAX = 65_536
"""Items of one array, of all its records: some hundred sagas of a hundred steps are under way at a time."""
_RECURRING = {"string": "name", "long": "number"}

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
    schema: object, shapes: Mapping[str, Shape] | None = None, *, own: Own | None = None
) -> Codec:
    """Compile a schema that has passed `lint.problems`.

    Args:
        schema: As parsed from JSON.
        shapes: By name of record or enum; others are tuples and strings.
        own: The schema is of a record of the engine's own.

    Raises:
        ValueError: The schema has a type that the engine does not use.
    """
    return _Compiler(shapes or {}, own).compile(schema)


class _Compiler:
    """Compiles the parts of one schema; remembers the named ones."""

    def __init__(self, shapes: Mapping[str, Shape], own: Own | None) -> None:
        self._shapes = shapes
        self._own = own
        self._known = primitives("strict" if own is None else straight.OWN_TEXT_ERRORS)
        self._types = dict(_PYTHON_TYPES)
        self._records: dict[str, straight.Fields] = {}
        """Those that others write out in place."""
        self._items: dict[str, straight.Items] = {}
        """What writes records as items of an array."""

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
            codec = self._record(schema["name"], schema["fields"], shape)
        self._known[schema["name"]] = codec
        self._types[schema["name"]] = shape.type if shape else tuple
        return codec

    def _record(self, name: str, columns: Sequence[_Json], shape: Shape | None) -> Codec:
        fields = tuple(self._field(column["name"], column["type"]) for column in columns)
        record = straight.Fields(fields, None, None)
        if shape is not None:
            plain = None
            if shape.attributes is not None:
                plain = straight.Plain(shape.type, shape.attributes)
            record = straight.Fields(fields, shape.make, shape.take, plain)
        if sum(map(_count, fields)) <= _IN_PLACE_COUNT_MAX and not (shape and shape.parts):
            self._records[name] = record
        is_own = self._own is not None
        title = name.rpartition(".")[2]
        write = straight.writer(record, title, own=is_own)
        if shape is not None and shape.parts:
            writers = {
                kind: straight.writer(
                    record, f"{title} {kind.__name__}", own=is_own, layout=_layout(parts, fields)
                )
                for kind, parts in shape.parts.items()
            }
            self._items[name] = straight.Items(write, writers)
            write = _by_class(writers, write)
        return Codec(straight.reader(record, title), write)

    def _field(self, name: str, schema: object) -> straight.Field:
        if self._own is not None and isinstance(schema, dict) and schema["type"] == "array":
            item = self.compile(schema["items"])
            items = self._items.get(_name(schema["items"]), straight.Items(item.write))
            if name in self._own.recurring_items:
                items = items._replace(recurring=Recurring(item.encode, _ITEMS_REMEMBERED_MAX))
            return straight.Field("other", _array(item), items=items)
        codec = self.compile(schema)
        if isinstance(schema, dict):
            return straight.Field("other", codec, self._records.get(_name(schema)))
        if isinstance(schema, str) and schema in self._records:
            return straight.Field("other", codec, self._records[schema])
        is_recurring = self._own is not None and name not in self._own.unique
        if is_recurring and isinstance(schema, str) and schema in _RECURRING:
            return straight.Field(_RECURRING[schema], codec)
        return straight.Field(schema if isinstance(schema, str) else "other", codec)

    def _union(self, schema: list[object]) -> Codec:
        codecs = [self.compile(branch) for branch in schema]
        return _union(codecs, [self._python_type(branch) for branch in schema])

    def _python_type(self, schema: object) -> type:
        if isinstance(schema, dict):
            kind = schema["type"]
            return self._types[schema["name"] if kind in {"record", "enum"} else kind]
        return self._types[schema]


def _name(schema: object) -> str:
    return schema.get("name", "") if isinstance(schema, dict) else str(schema)


def _count(field: straight.Field) -> int:
    return 1 if field.record is None else sum(map(_count, field.record.fields))


def _layout(parts: Parts, fields: Sequence[straight.Field]) -> straight.Layout:
    rest = {number: fields[number].codec.encode(value) for number, value in parts.rest.items()}
    return straight.Layout(parts.fields, rest)


def _by_class(writers: Mapping[type, Writer], other: Writer) -> Writer:
    def write(value: Any, out: list[bytes]) -> None:
        writers.get(type(value), other)(value, out)

    return write


def _enum(symbols: Sequence[str], shape: Shape | None) -> Codec:
    make = shape.make if shape else str
    members = tuple(make(symbol) for symbol in symbols)
    numbers = {member: READY[number] for number, member in enumerate(members)}

    def read(data: bytes, at: int) -> tuple[Any, int]:
        number, end = read_long(data, at)
        if not 0 <= number < len(members):
            raise refuse("out_of_range", f"an enum of {len(members)} has number {number}")
        return members[number], end

    def write(value: object, out: list[bytes]) -> None:
        out.append(numbers[value])

    return Codec(read, write)


def _block(data: bytes, at: int, items_count: int) -> tuple[int, int, int | None]:
    """Read a block's head: its items (0: there is no block), where they begin and where they end.

    The end is None if the head does not say it. `items_count` came in earlier blocks.
    """
    count, at = read_long(data, at)
    end = None
    if count < 0:
        count = -count
        block_bytes, at = read_long(data, at)
        end = at + block_bytes
    if items_count + count > ITEMS_MAX:
        raise refuse("too_many_items", f"{items_count + count} items, at most {ITEMS_MAX}")
    return count, at, end


def _check_end(at: int, end: int | None) -> None:
    if end is not None and end != at:
        raise refuse("malformed_record", f"a block ends at byte {at}, and says {end}")


def _array(items: Codec) -> Codec:
    read_item, write_item = items

    def read(data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        values: list[Any] = []
        while True:
            count, at, end = _block(data, at, len(values))
            if count == 0:
                return tuple(values), at
            for _ in range(count):
                value, at = read_item(data, at)
                values.append(value)
            _check_end(at, end)

    def write(value: tuple[Any, ...], out: list[bytes]) -> None:
        if not isinstance(value, tuple) or len(value) > ITEMS_MAX:
            no_items(value)
        if value:
            write_long(len(value), out)
            for part in value:
                write_item(part, out)
        out.append(FALSE)

    return Codec(read, write)


def _map(values: Codec, keys: Codec) -> Codec:
    """On the wire a map is an array of pairs."""

    def read_pair(data: bytes, at: int) -> tuple[tuple[str, Any], int]:
        key, at = keys.read(data, at)
        value, at = values.read(data, at)
        return (key, value), at

    def write_pair(pair: tuple[str, Any], out: list[bytes]) -> None:
        keys.write(pair[0], out)
        values.write(pair[1], out)

    pairs = _array(Codec(read_pair, write_pair))

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        entries, at = pairs.read(data, at)
        found = dict(entries)
        if len(found) != len(entries):
            raise refuse("malformed_record", "a map has a key twice")
        return found, at

    def write(value: dict[str, Any], out: list[bytes]) -> None:
        if not isinstance(value, dict):
            raise TypeError(f"a dict is wanted, not {value!r}")
        # Sorted: equal maps must give equal bytes, whatever the order they were filled in.
        pairs.write(tuple(sorted(value.items())), out)

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
        out.append(READY[number])
        branches[number].write(value, out)

    return Codec(read, write)
