"""What `saga start` reads: JSON Lines or CSV, one saga a line, turned into commands."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.errors import CommandRejected, DecodeError

if TYPE_CHECKING:
    from orchestrator.codec.payloads import AvroPayloads

ID_FIELD = "saga"

Convert = Callable[[dict[str, Any]], bytes]
"""Turns a payload as JSON into the bytes that travel."""


class Row(NamedTuple):
    """One saga to start."""

    line: int
    saga: str
    payload: dict[str, Any]


class BadLine(NamedTuple):
    """A line that is none."""

    line: int
    reason: str
    text: str


def rows(text: str, *, csv_file: bool, id_field: str) -> Iterator[Row | BadLine]:
    """Read each line.

    A line holds the payload's fields and, beside them, the saga id; or, in JSON, the id and an
    object `payload`.
    """
    for found in _csv_rows(text) if csv_file else _json_rows(text):
        if isinstance(found, BadLine):
            yield found
            continue
        line, fields = found
        saga = fields.pop(id_field, None)
        if not isinstance(saga, str) or not saga:
            yield BadLine(line, "bad_line", f"there is no saga id in `{id_field}`")
            continue
        payload = fields
        if not csv_file and fields.keys() == {"payload"} and isinstance(fields["payload"], dict):
            payload = fields["payload"]
        yield Row(line, saga, payload)


def _json_rows(text: str) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    for line, part in enumerate(text.splitlines(), start=1):
        if not part.strip():
            continue
        try:
            fields = json.loads(part)
        except ValueError as error:
            yield BadLine(line, "bad_line", f"this is no JSON: {error}")
            continue
        if isinstance(fields, dict):
            yield line, fields
        else:
            yield BadLine(line, "bad_line", "this is no JSON object")


def _csv_rows(text: str) -> Iterator[tuple[int, dict[str, Any]] | BadLine]:
    reader = csv.DictReader(io.StringIO(text))
    for fields in reader:
        if None in fields or None in fields.values():
            told = "not as many columns as the first line has"
            yield BadLine(reader.line_num, "bad_line", told)
        else:
            yield reader.line_num, dict(fields)


def checked(payloads: AvroPayloads, kind: type[Any], *, csv_file: bool) -> Convert:
    """Convert payloads of a type; a CSV's texts become what their fields' types are.

    A blank cell of a CSV stands for the field's default, if it has one.

    The conversion raises CommandRejected for a payload that is not of the type.
    """
    from typing import get_type_hints

    hints = get_type_hints(kind) if csv_file else {}
    blank = _with_default(kind) if csv_file else frozenset()

    def convert(payload: dict[str, Any]) -> bytes:
        typed = {
            name: _typed(value, hints.get(name))
            for name, value in payload.items()
            if value or name not in blank
        }
        try:
            return payloads.accept(json.dumps(typed).encode(), kind)
        except DecodeError as error:
            raise CommandRejected(error.reason, error.text) from error

    return convert


def _with_default(kind: type[Any]) -> frozenset[str]:
    missing = dataclasses.MISSING
    return frozenset(
        field.name
        for field in dataclasses.fields(kind)
        if field.default is not missing or field.default_factory is not missing
    )


def unchecked(payload: dict[str, Any]) -> bytes:
    """Leave a payload as JSON: the worker will look at it."""
    return json.dumps(payload, ensure_ascii=False).encode()


def _typed(value: Any, hint: Any) -> Any:
    """Turn a CSV's text into the JSON that its field wants; a wrong one is left for the codec."""
    if not isinstance(value, str) or hint is None:
        return value
    kinds = set(getattr(hint, "__args__", ())) or {hint}
    if not value and type(None) in kinds:
        return None
    if bool in kinds:
        return {"true": True, "false": False}.get(value.lower(), value)
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(value)
            except ValueError:
                return value
    return value
