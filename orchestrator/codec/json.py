"""JSON from strangers: the same values as everywhere, and none of JSON's loose ends.

Refused: keys that are there twice, NaN and infinities, numbers that no double and no 64-bit integer
holds, half characters, and nesting deeper than `DEPTH_MAX`.
"""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any

from orchestrator.codec.refusals import refuse

DEPTH_MAX = 32
"""Objects and arrays within each other."""

_INT_DIGITS_MAX = 20
_TOKENS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)


def loads(data: bytes) -> Any:
    """Parse JSON.

    Raises:
        LimitExceeded: `too_deep`.
        MalformedPayload: `malformed_json`.
    """
    _check_depth(data)
    try:
        text = data.decode()
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_int,
            parse_float=_float,
            parse_constant=_constant,
        )
        # "\ud800" is half a character: JSON spells it, no encoding holds it.
        if "\\u" in text:
            dumps(value)
    except (ValueError, RecursionError) as error:
        raise refuse("malformed_json", str(error)) from error
    return value


def dumps(value: Any) -> bytes:
    """Write JSON without spaces. Raises ValueError for a value that JSON cannot hold."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _check_depth(data: bytes) -> None:
    depth = 0
    for token in _TOKENS.finditer(data):
        first = data[token.start()]
        if first in b"[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise refuse("too_deep", f"nested deeper than {DEPTH_MAX}")
        elif first in b"]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _int(digits: str) -> int:
    if len(digits) > _INT_DIGITS_MAX:
        raise ValueError(f"an integer of {len(digits)} digits")
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise ValueError(f"{digits[:40]} is too large")
    return value


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
