"""Commands as JSON."""

from __future__ import annotations

import pytest

from orchestrator.codec import json
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.commands import CancelSaga, ResolveStep, RetrySaga, SkipStep, StartSaga
from orchestrator.errors import DecodeError

CODEC = RecordCodec()


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (
            '{"start": "book_trip", "saga": "trip-1", "payload": {"a": [1, 2.5, null, "é"]}}',
            StartSaga("trip-1", "book_trip", 0, '{"a":[1,2.5,null,"é"]}'.encode()),
        ),
        (
            '\n {"start": "b", "saga": "t", "version": 2, "payload": {}}',
            StartSaga("t", "b", 2, b"{}"),
        ),
        (
            '{"start": "b", "saga": "t", "payload": {"smile": "\\ud83d\\ude00"}}',
            StartSaga("t", "b", 0, '{"smile":"😀"}'.encode()),
        ),
        (
            '{"cancel": "t", "actor": "ann", "reason": "no longer"}',
            CancelSaga("t", "ann", "no longer"),
        ),
        ('{"retry": "t", "actor": "ann", "reason": ""}', RetrySaga("t", "ann", "")),
        (
            '{"skip": "t", "step": "a.b[3]", "actor": "ann", "reason": "r"}',
            SkipStep("t", "a.b[3]", "ann", "r"),
        ),
        (
            '{"resolve": "t", "step": "a", "actor": "ann", "reason": "r", "result": {"x": 1}}',
            ResolveStep("t", "a", "ann", "r", b'{"x":1}'),
        ),
        (
            '{"resolve": "t", "step": "a", "actor": "ann", "reason": "r"}',
            ResolveStep("t", "a", "ann", "r", b""),
        ),
    ],
)
def test_commands(data, command):
    assert CODEC.decode_command(data.encode()) == command


START = '{"start": "b", "saga": "t", "payload": '


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{", "malformed_json"),
        (" ", "malformed_json"),
        ("\n[1]", "unknown_command"),
        ("{} {}", "malformed_json"),
        ('{"cancel": "t", "cancel": "u"}', "malformed_json"),
        (START + '{"x": {"a": 1, "a": 1}}}', "malformed_json"),
        (START + '{"x": NaN}}', "malformed_json"),
        (START + '{"x": -Infinity}}', "malformed_json"),
        (START + '{"x": 1e999}}', "malformed_json"),
        (START + '{"x": ' + "9" * 5000 + "}}", "malformed_json"),
        (START + '{"x": "\\ud800"}}', "malformed_json"),
        (START + '{"\\udfff": 1}}', "malformed_json"),
        (START + '{"x": ' + "[" * 40 + "]" * 40 + "}}", "too_deep"),
        (START + '{"x": ' + "[" * 100_000, "too_deep"),
        ('{"a": "\ufeff}', "malformed_json"),
        ("{}", "unknown_command"),
        ('{"start": "b", "cancel": "t"}', "unknown_command"),
        ('{"start": "b", "saga": "t"}', "unknown_command"),
        (START + '{}, "priority": 1}', "unknown_command"),
        ('{"cancel": "t", "actor": 5, "reason": ""}', "unknown_command"),
        (START + "5}", "unknown_command"),
        (START + '{}, "version": -1}', "out_of_range"),
        (START + '{}, "version": true}', "out_of_range"),
        (START + '{}, "version": 2147483648}', "out_of_range"),
        (START.replace('"t"', '"a/b"') + "{}}", "bad_id"),
        ('{"cancel": "t", "actor": "", "reason": ""}', "bad_id"),
    ],
)
def test_refused(data, reason):
    with pytest.raises(DecodeError) as caught:
        CODEC.decode_command(data.encode())
    assert caught.value.reason == reason


def test_bytes_that_are_no_text():
    with pytest.raises(DecodeError, match="malformed_json"):
        CODEC.decode_command(b'{"\xff": 1}')


def test_brackets_within_texts_are_not_nesting():
    assert json.loads(b'{"x": "' + b"[" * 100 + b'\\"{{"}') == {"x": "[" * 100 + '"{{'}


def test_what_json_cannot_hold_is_not_written():
    for value in (float("nan"), "\ud800"):
        with pytest.raises(ValueError, match=r"."):
            json.dumps(value)
