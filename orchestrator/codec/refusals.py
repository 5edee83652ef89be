"""Every reason for which bytes from outside are refused, in one table.

The codes are stable: they are in dead letters, in metrics and in alerts. The docs show this table.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.errors import DecodeError, LimitExceeded, MalformedPayload, UnknownSchema


class Refusal(NamedTuple):
    """One reason."""

    code: str
    error: type[DecodeError]
    meaning: str


REFUSALS: dict[str, Refusal] = {
    refusal.code: refusal
    for refusal in (
        Refusal("oversize_value", LimitExceeded, "The value has more bytes than allowed."),
        Refusal("oversize_key", LimitExceeded, "The key has more bytes than allowed."),
        Refusal("too_many_headers", LimitExceeded, "There are more headers than allowed."),
        Refusal("oversize_header", LimitExceeded, "A header's name or value is too long."),
        Refusal("too_many_items", LimitExceeded, "An array or map has more items than allowed."),
        Refusal("too_deep", LimitExceeded, "JSON is nested deeper than allowed."),
        Refusal(
            "bad_header",
            DecodeError,
            "A header's name or value is not printable ASCII, or one that is read is there twice.",
        ),
        Refusal("missing_key", DecodeError, "The record has no key. It must be the saga id."),
        Refusal("missing_value", DecodeError, "The record has no value."),
        Refusal(
            "unknown_format",
            UnknownSchema,
            "The value begins neither like Avro's single-object encoding, nor like a registry's wire format, nor like JSON.",
        ),
        Refusal(
            "unknown_schema",
            UnknownSchema,
            "No schema known here has the fingerprint, or the registry's id, that the bytes begin with.",
        ),
        Refusal(
            "wrong_record",
            UnknownSchema,
            "The schema is known, but it is not that of a record expected here.",
        ),
        Refusal(
            "malformed_record",
            MalformedPayload,
            "The bytes end early, or do not fit the schema that they name.",
        ),
        Refusal("trailing_bytes", MalformedPayload, "Bytes are left over after the value."),
        Refusal(
            "malformed_payload",
            MalformedPayload,
            "The payload does not fit the type that the saga or the step declares.",
        ),
        Refusal(
            "malformed_json",
            MalformedPayload,
            "The value is not JSON, repeats a key, or has a number or a character that JSON forbids.",
        ),
        Refusal(
            "unknown_command",
            MalformedPayload,
            "The JSON command is none of start, cancel, retry, skip and resolve, or has a key that the command lacks.",
        ),
        Refusal(
            "unknown_event", MalformedPayload, "A transition has an event of no known number."
        ),
        Refusal(
            "bad_id",
            MalformedPayload,
            "An id is not spelled like one, or two ids of the record contradict each other.",
        ),
        Refusal(
            "out_of_range",
            MalformedPayload,
            "A number, an enum or a code is outside of its range.",
        ),
    )
}


def refuse(code: str, text: str) -> DecodeError:
    """Make the error for a reason of the table. Raises KeyError for any other."""
    return REFUSALS[code].error(code, text)
