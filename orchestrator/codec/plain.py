"""Values of declared types as plain JSON values, and back. Errors name the field.

`bytes` are base64 text, a `StrEnum` is its value, a payload an object, a tuple an array. A field
with a default may be left out.
"""

from __future__ import annotations

import base64
import binascii
import re
from math import isfinite
from typing import Any, assert_never

from orchestrator.codec.kinds import (
    MISSING,
    Choice,
    Kind,
    Many,
    Mapped,
    Optional,
    Record,
    Scalar,
    kind_of,
)
from orchestrator.codec.refusals import refuse
from orchestrator.errors import DecodeError

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_LONG = range(-(1 << 63), 1 << 63)
_NAMES = {
    str: "a text",
    int: "an integer",
    bool: "true or false",
    float: "a number",
    bytes: "bytes",
}


def to_plain(value: Any, annotation: Any) -> Any:
    """Turn a value into what `json.dumps` takes.

    Raises:
        MalformedPayload: `malformed_payload`; the text names the field that is not of its type.
    """
    return _to(value, kind_of(annotation), ())


def from_plain(value: Any, annotation: Any) -> Any:
    """Turn what `json.loads` gave into a value.

    Raises:
        MalformedPayload: `malformed_payload`; the text names the field that is missing, surplus or
            of another type.
    """
    return _from(value, kind_of(annotation), ())


def _wrong(path: tuple[str, ...], text: str) -> DecodeError:
    return refuse("malformed_payload", f"{'.'.join(path) or 'the payload'}: {text}")


def _mismatch(path: tuple[str, ...], wanted: str, value: Any) -> DecodeError:
    return _wrong(path, f"{wanted} is wanted, not {value!r:.80}")


# --- out ----------------------------------------------------------------------------------------


def _to(value: Any, kind: Kind, path: tuple[str, ...]) -> Any:
    match kind:
        case Scalar():
            _check_scalar(value, kind.type, path)
            return base64.b64encode(value).decode() if kind.type is bytes else value
        case Optional():
            return None if value is None else _to(value, kind.inner, path)
        case Many():
            if not isinstance(value, tuple):
                raise _mismatch(path, "a tuple", value)
            return [_to(part, kind.inner, (*path, str(n))) for n, part in enumerate(value)]
        case Mapped():
            if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
                raise _mismatch(path, "a dict with texts as keys", value)
            return {key: _to(part, kind.inner, (*path, key)) for key, part in value.items()}
        case Choice():
            return str(_choice(value, kind, path))
        case Record():
            if type(value) is not kind.type:
                raise _mismatch(path, f"a {kind.type.__name__}", value)
            return {
                f.name: _to(getattr(value, f.name), f.kind, (*path, f.name)) for f in kind.fields
            }
        case _:
            assert_never(kind)


def _check_scalar(value: Any, wanted: type, path: tuple[str, ...]) -> None:
    if wanted is float and type(value) in {int, float} and isfinite(value):
        return
    if wanted is float or type(value) is not wanted:
        raise _mismatch(path, _NAMES[wanted], value)
    if wanted is int and value not in _LONG:
        raise _wrong(path, f"{value} does not fit 64 bits")
    if type(value) is str and _HALF_CHARACTER.search(value):
        raise _wrong(path, "holds half a character")


def _choice(value: Any, kind: Choice, path: tuple[str, ...]) -> Any:
    try:
        return kind.type(value)
    except ValueError:
        allowed = ", ".join(kind.type)
        raise _mismatch(path, f"one of {allowed}", value) from None


# --- in -----------------------------------------------------------------------------------------


def _from(value: Any, kind: Kind, path: tuple[str, ...]) -> Any:
    match kind:
        case Scalar():
            return _scalar(value, kind.type, path)
        case Optional():
            return None if value is None else _from(value, kind.inner, path)
        case Many():
            if not isinstance(value, list):
                raise _mismatch(path, "an array", value)
            return tuple(_from(part, kind.inner, (*path, str(n))) for n, part in enumerate(value))
        case Mapped():
            if not isinstance(value, dict):
                raise _mismatch(path, "an object", value)
            return {key: _from(part, kind.inner, (*path, key)) for key, part in value.items()}
        case Choice():
            return _choice(value, kind, path)
        case Record():
            return _record(value, kind, path)
        case _:
            assert_never(kind)


def _scalar(value: Any, wanted: type, path: tuple[str, ...]) -> Any:
    if wanted is bytes:
        return _bytes(value, path)
    _check_scalar(value, wanted, path)
    return float(value) if wanted is float else value


def _bytes(value: Any, path: tuple[str, ...]) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise _mismatch(path, "base64 text", value) from None


def _record(value: Any, kind: Record, path: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(path, "an object", value)
    surplus = value.keys() - {field.name for field in kind.fields}
    if surplus:
        raise _wrong(path, f"{kind.type.__name__} has no {sorted(surplus)!r:.200}")
    found = {}
    for field in kind.fields:
        if field.name in value:
            found[field.name] = _from(value[field.name], field.kind, (*path, field.name))
        elif field.default is MISSING:
            raise _wrong((*path, field.name), "is missing")
    return construct(kind.type, path, **found)


def construct(cls: type, path: tuple[str, ...] = (), /, *values: Any, **named: Any) -> Any:
    """Make an instance; a refusal by the class's own check is the payload's fault.

    Raises:
        MalformedPayload: `malformed_payload`.
    """
    try:
        return cls(*values, **named)
    except (ValueError, TypeError, ArithmeticError, LookupError, AttributeError) as error:
        raise _wrong(path, f"{cls.__name__} refuses it: {error}") from error
