"""When a step of a transaction is in doubt, on networks near and far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kafka.patience import Patience

DOUBT_MS = 1_000.0
times_ms = st.integers(0, 30_000)  # sums of floats would not be exact


def after(history):
    patience = Patience(DOUBT_MS)
    for took_ms in history:
        patience.took(took_ms)
    return patience


@given(st.lists(times_ms))
def test_nothing_is_in_doubt_before_its_time(history):
    assert after(history).limit_ms >= DOUBT_MS


@given(st.lists(times_ms), times_ms)
def test_a_quick_transaction_shows_at_once_that_the_network_is_near(history, quick_ms):
    assert after([*history, quick_ms]).limit_ms <= quick_ms + DOUBT_MS


@given(st.lists(st.floats(0, 100)), st.floats(1_100, 30_000))
def test_a_transaction_that_is_slow_among_quick_ones_is_in_doubt(history, slow_ms):
    assert slow_ms >= after(history).limit_ms


@given(st.lists(times_ms), times_ms)
def test_one_that_was_slow_does_not_make_the_next_such_usual(history, slow_ms):
    before_ms = after(history).limit_ms
    assert after([*history, slow_ms]).limit_ms <= before_ms + DOUBT_MS / 4


@pytest.mark.parametrize("far_ms", [900, 1_250, 2_000, 4_000])
def test_a_network_on_which_all_is_slow_is_known_after_some_transactions(far_ms):
    doubts_count, patience = 0, Patience(DOUBT_MS)
    for _ in range(100):
        doubts_count += far_ms >= patience.limit_ms
        patience.took(far_ms)

    assert doubts_count == max(0, 1 + (far_ms - DOUBT_MS) // 250)
    assert patience.limit_ms == far_ms + DOUBT_MS
