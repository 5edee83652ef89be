"""What a schema must not be, so that no bytes can make its reader run away.

* Recursive: ten thousand bytes of nesting would overflow the interpreter's own stack.
* A list or map of items that may take no bytes: a handful of bytes would make millions of items.
* Of a type that the engine does not use: dates, decimals and fixed sizes are longs, strings, bytes.
"""

from __future__ import annotations

from typing import Any

DEPTH_MAX = 32
"""Types within types. Deeper ones cannot be read by people either."""

_BYTES_MIN = {
    "null": 0,
    "boolean": 1,
    "int": 1,
    "long": 1,
    "double": 8,
    "bytes": 1,
    "string": 1,
}


def problems(schema: Any) -> tuple[str, ...]:
    """List what is wrong with a parsed schema, in sentences for people. Empty: nothing is."""
    lint = _Lint()
    lint.bytes_min(schema, ())
    return tuple(lint.found)


class _Lint:
    """Walks a schema once; for each type gives the fewest bytes that a value of it takes."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._known: dict[str, int] = {}
        self._open: set[str] = set()

    def bytes_min(self, schema: Any, path: tuple[str, ...]) -> int:
        if len(path) > DEPTH_MAX:
            return self._problem(path, f"is nested deeper than {DEPTH_MAX} types")
        if isinstance(schema, list):
            for branch in schema:
                self.bytes_min(branch, path)
            return 1 if schema else self._problem(path, "is a union of nothing")
        if isinstance(schema, str):
            return self._name(schema, path)
        return self._complex(schema, path)

    def _complex(self, schema: Any, path: tuple[str, ...]) -> int:
        kind = schema["type"]
        if kind in {"array", "map"}:
            return self._items(schema, kind, path)
        if kind == "record":
            return self._record(schema, path)
        if kind == "enum":
            self._known[schema["name"]] = 1
            return 1
        if "logicalType" in schema or kind == "fixed":
            return self._problem(
                path, "has a logical or a fixed type, which the engine does not use"
            )
        return self.bytes_min(kind, path)

    def _name(self, name: str, path: tuple[str, ...]) -> int:
        if name in self._open:
            return self._problem(path, f"is recursive: {name} is within itself")
        size = self._known.get(name, _BYTES_MIN.get(name))
        return (
            self._problem(path, f"has the type {name}, which the engine does not use")
            if size is None
            else size
        )

    def _items(self, schema: Any, kind: str, path: tuple[str, ...]) -> int:
        key, extra = ("items", 0) if kind == "array" else ("values", 1)
        if self.bytes_min(schema[key], (*path, key)) + extra == 0:
            self._problem(path, f"is an {kind} of items that take no bytes")
        return 1

    def _record(self, schema: Any, path: tuple[str, ...]) -> int:
        name = schema["name"]
        self._open.add(name)
        size = sum(
            self.bytes_min(field["type"], (*path, field["name"])) for field in schema["fields"]
        )
        self._open.discard(name)
        self._known[name] = size
        return size

    def _problem(self, path: tuple[str, ...], text: str) -> int:
        self.found.append(f"{'.'.join(path) or 'the schema'} {text}")
        return 1
