"""What a record from outside may weigh. Checked before a byte of it is decoded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from orchestrator.codec.envelope import Envelope
from orchestrator.codec.refusals import refuse

READ_HEADERS = frozenset({"id", "traceparent"})
"""The only headers that the engine reads. No other is obeyed, whatever it says."""

_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_PRINTABLE_BYTES = re.compile(rb"[\x20-\x7e]*")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one record."""

    value_bytes_max: int = 262_144
    """Bytes of the value. A quarter of what Kafka carries by default: a transition and a dead
    letter hold the value and more, and must still fit."""
    key_bytes_max: int = 128
    """Bytes of the key. A saga id has no more."""
    headers_count_max: int = 16
    """Headers of one record. The engine itself sends two."""
    header_name_bytes_max: int = 64
    """Bytes of one header's name."""
    header_value_bytes_max: int = 512
    """Bytes of one header's value. A `traceparent` has 55, the longest effect id 400."""


DEFAULT_LIMITS = Limits()


def check(envelope: Envelope, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse a record that is too large, or that lacks its key or its value.

    Raises:
        LimitExceeded: `oversize_value`, `oversize_key`, `too_many_headers`, `oversize_header`.
        DecodeError: `missing_value`, `missing_key`, `bad_header`.
    """
    _, key, value, headers, _ = envelope
    if value is None:
        raise refuse("missing_value", "the record has no value")
    if len(value) > limits.value_bytes_max:
        raise refuse("oversize_value", f"{len(value)} bytes, at most {limits.value_bytes_max}")
    if not key:
        raise refuse("missing_key", "the record has no key; it must be the saga id")
    if len(key) > limits.key_bytes_max:
        raise refuse("oversize_key", f"{len(key)} bytes, at most {limits.key_bytes_max}")
    if headers:
        _check_headers(headers, limits)


def _check_headers(headers: tuple[tuple[str, bytes | None], ...], limits: Limits) -> None:
    if len(headers) > limits.headers_count_max:
        raise refuse("too_many_headers", f"{len(headers)}, at most {limits.headers_count_max}")
    seen: set[str] = set()
    for name, value in headers:
        if len(name) > limits.header_name_bytes_max:
            raise refuse("oversize_header", f"a name of {len(name)} characters")
        if len(value or b"") > limits.header_value_bytes_max:
            raise refuse("oversize_header", f"{len(value or b'')} bytes in {name!r}")
        if name in READ_HEADERS:
            if name in seen or not _PRINTABLE_BYTES.fullmatch(value or b""):
                raise refuse("bad_header", f"{name!r} is there twice or is not printable ASCII")
            seen.add(name)
        elif not _PRINTABLE.fullmatch(name):
            raise refuse("bad_header", f"the name {name!r} is not printable ASCII")


def traceparent(envelope: Envelope) -> bytes | None:
    """Give the record's W3C trace context if it is spelled correctly; None otherwise."""
    for name, value in envelope.headers:
        if name == "traceparent" and value is not None and _TRACEPARENT.fullmatch(value):
            return value
    return None
