"""What is checked before a byte is decoded."""

from __future__ import annotations

import pytest

from orchestrator.codec.envelope import Envelope, Origin
from orchestrator.codec.limits import Limits, check, traceparent
from orchestrator.codec.refusals import REFUSALS, refuse
from orchestrator.core.ids import parse_effect_id
from orchestrator.errors import DecodeError

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def envelope(value=b"x", key=b"trip-1", headers=()):
    return Envelope(Origin("saga.commands", 0, 1), key, value, headers, 5)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (envelope(value=None), "missing_value"),
        (envelope(value=b"x" * 262_145), "oversize_value"),
        (envelope(key=None), "missing_key"),
        (envelope(key=b""), "missing_key"),
        (envelope(key=b"x" * 129), "oversize_key"),
        (envelope(headers=(("a", b""),) * 17), "too_many_headers"),
        (envelope(headers=(("a" * 65, b""),)), "oversize_header"),
        (envelope(headers=(("a", b"x" * 513),)), "oversize_header"),
        (envelope(headers=(("a\n", b""),)), "bad_header"),
        (envelope(headers=(("é", b""),)), "bad_header"),
        (envelope(headers=(("id", b"a"), ("id", b"b"))), "bad_header"),
        (envelope(headers=(("id", b"\x00"),)), "bad_header"),
        (envelope(headers=(("traceparent", b"\n"),)), "bad_header"),
    ],
)
def test_limits(record, reason):
    with pytest.raises(DecodeError) as caught:
        check(record)
    assert caught.value.reason == reason
    assert type(caught.value) is REFUSALS[reason].error


def test_the_longest_effect_id_is_no_oversize_header():
    longest = f"{'s' * 128}/{'t' * 256}/undo/{'9' * 9}"
    assert parse_effect_id(longest)
    check(envelope(headers=(("id", longest.encode()),)))


def test_just_within_the_limits():
    check(envelope(b"x" * 262_144, b"k" * 128, (("n" * 64, b"\xff" * 512),) * 16))
    check(envelope(headers=(("id", None), ("traceparent", TRACE), ("other", b"\x00"))))
    check(envelope(b"xx"), Limits(value_bytes_max=2))


@pytest.mark.parametrize(
    ("value", "good"),
    [
        (TRACE, True),
        (None, False),
        (TRACE.upper(), False),
        (TRACE + b"-x", False),
        (b"01" + TRACE[2:], False),
        (TRACE.replace(b"0af7651916cd43dd8448eb211c80319c", b"0" * 32), False),
        (TRACE.replace(b"b7ad6b7169203331", b"0" * 16), False),
    ],
)
def test_a_trace_context_is_passed_on_only_if_spelled_right(value, good):
    assert traceparent(envelope(headers=(("x", b""), ("traceparent", value)))) == (
        value if good else None
    )
    assert traceparent(envelope()) is None


def test_reasons_come_from_the_table_alone():
    with pytest.raises(KeyError):
        refuse("no_such_reason", "")
    assert all(code == refusal.code for code, refusal in REFUSALS.items())
