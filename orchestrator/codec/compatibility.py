"""Whether bytes that one schema wrote can be read by another: Avro's rules, for the types in use."""

from __future__ import annotations

from typing import Any

from orchestrator.codec.avro import Schema

_WIDER = {
    "int": {"long", "double"},
    "long": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""Types that Avro reads where another was written."""


def problems(reader: Schema, writer: Schema) -> tuple[str, ...]:
    """Say what keeps `reader` from reading what `writer` wrote, in sentences. Empty: nothing."""
    check = _Check(_names(reader.parsed), _names(writer.parsed))
    check.compare(reader.parsed, writer.parsed, ())
    return tuple(check.found)


def _names(schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stack = [schema]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack.extend(part)
        elif isinstance(part, dict):
            if "name" in part and part["type"] in {"record", "enum"}:
                found[part["name"]] = part
            stack.extend(field["type"] for field in part.get("fields", ()))
            stack.extend(part[key] for key in ("items", "values") if key in part)
    return found


class _Check:
    """Compares two schemas part by part, and notes what does not fit."""

    def __init__(self, reader_names: dict[str, Any], writer_names: dict[str, Any]) -> None:
        self.found: list[str] = []
        self._reader_names = reader_names
        self._writer_names = writer_names

    def compare(self, reader: Any, writer: Any, path: tuple[str, ...]) -> None:
        reader, writer = _open(reader, self._reader_names), _open(writer, self._writer_names)
        if isinstance(writer, list):
            for branch in writer:
                self.compare(reader, branch, path)
        elif isinstance(reader, list):
            self._branch(reader, writer, path)
        elif _kind(reader) != _kind(writer):
            if _kind(reader) not in _WIDER.get(_kind(writer), set()):
                self._note(path, f"was a {_kind(writer)}, and cannot be read as a {_kind(reader)}")
        elif _kind(reader) == "record":
            self._record(reader, writer, path)
        elif _kind(reader) == "enum":
            self._enum(reader, writer, path)
        else:
            for key in ("items", "values"):
                if isinstance(reader, dict) and key in reader:
                    self.compare(reader[key], writer[key], (*path, key))

    def _branch(self, reader: list[Any], writer: Any, path: tuple[str, ...]) -> None:
        before = len(self.found)
        for branch in reader:
            attempt = _Check(self._reader_names, self._writer_names)
            attempt.compare(branch, writer, path)
            if not attempt.found:
                del self.found[before:]
                return
            self.found.extend(attempt.found)
        del self.found[before:]
        self._note(path, f"was a {_kind(writer)}, which none of its types reads now")

    def _record(self, reader: Any, writer: Any, path: tuple[str, ...]) -> None:
        self._same_name(reader, writer, path)
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            name = field["name"]
            if name in written:
                self.compare(field["type"], written[name]["type"], (*path, name))
            elif "default" not in field:
                self._note(
                    (*path, name), "is new and has no default, so older data cannot be read"
                )

    def _enum(self, reader: Any, writer: Any, path: tuple[str, ...]) -> None:
        self._same_name(reader, writer, path)
        lost = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
        if lost:
            self._note(path, f"no longer has {', '.join(lost)}, which older data may hold")

    def _same_name(self, reader: Any, writer: Any, path: tuple[str, ...]) -> None:
        if reader["name"].rpartition(".")[2] != writer["name"].rpartition(".")[2]:
            self._note(path, f"was a {writer['name']}, and is a {reader['name']} now")

    def _note(self, path: tuple[str, ...], text: str) -> None:
        self.found.append(f"{'.'.join(path) or 'the type'} {text}")


def _open(schema: Any, names: dict[str, Any]) -> Any:
    while isinstance(schema, str) and schema in names:
        schema = names[schema]
    return schema


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)
