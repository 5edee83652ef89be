"""What a restore reads of a snapshot is what the whole of it says."""

from __future__ import annotations

import pytest
from codec_values import ANY, SAMPLES
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec.due import timers_in
from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import timers
from orchestrator.errors import DecodeError

CODEC = RecordCodec()
ENCODED = CODEC.encode_snapshot(SAMPLES["Snapshot"])


@given(ANY["Snapshot"])
def test_the_timers_of_any_state_are_found(state):
    encoded = CODEC.encode_snapshot(state)
    assert timers_in(encoded) == CODEC.snapshot_timers(encoded) == timers(state)


@given(st.integers(0, len(ENCODED) - 1))
def test_a_snapshot_that_was_cut_off_is_refused(length):
    with pytest.raises(DecodeError):
        CODEC.snapshot_timers(ENCODED[:length])


def test_bytes_that_are_no_snapshot_are_refused():
    for data in (b"", b"nonsense", ENCODED + b"\0", CODEC.encode_cursor(SAMPLES["Cursor"])):
        with pytest.raises(DecodeError):
            CODEC.snapshot_timers(data)


def test_the_full_decoder_is_asked_only_if_something_is_odd(monkeypatch):
    monkeypatch.setattr(CODEC, "decode_snapshot", None)
    assert CODEC.snapshot_timers(ENCODED) == timers(SAMPLES["Snapshot"])
