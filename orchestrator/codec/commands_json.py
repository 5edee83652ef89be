"""Commands as JSON, so that a person with any console producer can start, or repair, a saga.

::

    {"start": "book_trip", "saga": "trip-1", "payload": {...}}          also "version"
    {"cancel": "trip-1", "actor": "ann", "reason": "..."}
    {"retry": "trip-1", "actor": "ann", "reason": "..."}
    {"skip": "trip-1", "step": "reserve_seat", "actor": "ann", "reason": "..."}
    {"resolve": "trip-1", "step": "reserve_seat", "actor": "ann", "reason": "..."}   also "result"

A payload or result stays JSON here; `payloads.accept` turns it into Avro once its type is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from orchestrator.codec import json
from orchestrator.codec.refusals import refuse
from orchestrator.core.commands import (
    CancelSaga,
    OperatorCommand,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
)

_Fields: TypeAlias = dict[str, Any]


class _Verb(NamedTuple):
    required: frozenset[str]
    optional: frozenset[str]
    make: Callable[[_Fields], StartSaga | OperatorCommand]


def decode(data: bytes) -> StartSaga | OperatorCommand:
    """Read a command. Its ids are not checked yet.

    Raises:
        DecodeError: `malformed_json`, `too_deep`, `unknown_command`, `out_of_range`.
    """
    fields = json.loads(data)
    if not isinstance(fields, dict):
        raise refuse("unknown_command", "a command is a JSON object")
    verbs = [name for name in _VERBS if name in fields]
    if len(verbs) != 1:
        raise refuse("unknown_command", f"a command has one of {', '.join(_VERBS)}")
    verb = _VERBS[verbs[0]]
    missing = verb.required - fields.keys()
    surplus = fields.keys() - verb.required - verb.optional
    if missing or surplus:
        wrong = (
            f"lacks {sorted(missing)}" if missing else f"does not know {sorted(surplus)!r:.200}"
        )
        raise refuse("unknown_command", f"{verbs[0]} {wrong}")
    return verb.make(fields)


def _text(fields: _Fields, key: str) -> str:
    value = fields[key]
    if not isinstance(value, str):
        raise refuse("unknown_command", f"{key} must be a text")
    return value


def _object(fields: _Fields, key: str) -> bytes:
    value = fields[key]
    if not isinstance(value, dict):
        raise refuse("unknown_command", f"{key} must be an object")
    return json.dumps(value)


def _start(fields: _Fields) -> StartSaga:
    version = fields.get("version", 0)
    if type(version) is not int or version >> 31:
        raise refuse("out_of_range", "version must be a number, at least 0")
    return StartSaga(
        _text(fields, "saga"), _text(fields, "start"), version, _object(fields, "payload")
    )


def _resolve(fields: _Fields) -> ResolveStep:
    result = _object(fields, "result") if "result" in fields else b""
    return ResolveStep(
        _text(fields, "resolve"),
        _text(fields, "step"),
        _text(fields, "actor"),
        _text(fields, "reason"),
        result,
    )


def _cancel(fields: _Fields) -> CancelSaga:
    return CancelSaga(_text(fields, "cancel"), _text(fields, "actor"), _text(fields, "reason"))


def _retry(fields: _Fields) -> RetrySaga:
    return RetrySaga(_text(fields, "retry"), _text(fields, "actor"), _text(fields, "reason"))


def _skip(fields: _Fields) -> SkipStep:
    return SkipStep(
        _text(fields, "skip"),
        _text(fields, "step"),
        _text(fields, "actor"),
        _text(fields, "reason"),
    )


_VERBS = {
    "start": _Verb(frozenset({"start", "saga", "payload"}), frozenset({"version"}), _start),
    "cancel": _Verb(frozenset({"cancel", "actor", "reason"}), frozenset(), _cancel),
    "retry": _Verb(frozenset({"retry", "actor", "reason"}), frozenset(), _retry),
    "skip": _Verb(frozenset({"skip", "step", "actor", "reason"}), frozenset(), _skip),
    "resolve": _Verb(
        frozenset({"resolve", "step", "actor", "reason"}), frozenset({"result"}), _resolve
    ),
}
