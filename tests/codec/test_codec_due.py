"""What a restore reads of a snapshot is what the whole of it says."""

from __future__ import annotations

from contextlib import suppress

import pytest
from codec_values import ANY, SAMPLES
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.codec.wire import RecordCodec
from orchestrator.core.state import StepState, StepStatus, timers
from orchestrator.errors import DecodeError

CODEC = RecordCodec()
SNAPSHOT = SAMPLES["Snapshot"]
ENCODED = CODEC.encode_snapshot(SNAPSHOT)
USUAL = CODEC.encode_snapshot(SNAPSHOT._replace(faults=()))


def read(state, codec=CODEC):
    return codec.snapshot_timers(state.saga_id.encode(), codec.encode_snapshot(state))


def raw(state):
    return tuple((due_ms, saga.encode(), step) for due_ms, saga, step in timers(state))


@given(ANY["Snapshot"])
def test_the_timers_of_any_state_are_found(state):
    assert read(state) == raw(state)


@given(st.integers(0, len(ENCODED) - 1))
def test_a_snapshot_that_was_cut_off_is_refused(length):
    with pytest.raises(DecodeError):
        CODEC.snapshot_timers(b"s", ENCODED[:length])


def test_bytes_that_are_no_snapshot_are_refused():
    for data in (b"", b"nonsense", ENCODED + b"\0", CODEC.encode_cursor(SAMPLES["Cursor"])):
        with pytest.raises(DecodeError):
            CODEC.snapshot_timers(b"s", data)


@given(st.integers(0, len(USUAL) - 1), st.integers(0, 255))
def test_a_byte_that_is_wrong_gives_other_timers_or_a_refusal(at, byte):
    """Nothing else: no other error, and no loop that goes on for as many steps as it says."""
    data = USUAL[:at] + bytes([byte]) + USUAL[at + 1 :]
    with suppress(DecodeError):
        found = CODEC.snapshot_timers(b"s", data)
        assert all(saga == b"s" and isinstance(due_ms + step, int) for due_ms, saga, step in found)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"saga_id": "x" * 128, "payload": b"p" * 100_000},
        {"payload": b"", "due_ms": 0, "steps": ()},
        {"due_ms": 1, "cause": "step_unknown", "decisions": (1, 2, 0), "lost": True},
        {"steps": tuple(StepState(StepStatus.REQUESTED, due_ms=1 << n) for n in range(60))},
        {"steps": tuple(StepState(StepStatus.SUCCEEDED, result=b"r" * n) for n in range(63))},
    ],
)
def test_the_full_decoder_is_asked_only_if_something_is_odd(change):
    codec, state = RecordCodec(), SNAPSHOT._replace(**{"faults": (), **change})
    codec.decode_snapshot = None
    assert read(state, codec) == raw(state)
