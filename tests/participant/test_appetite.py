"""How many commands a participant takes at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.participant.appetite import USUAL_COUNT, Appetite

MAX_COUNT = 10 * USUAL_COUNT
times = st.floats(0, 20)


@given(st.lists(st.tuples(st.integers(0, MAX_COUNT), times, times)), st.integers(1, MAX_COUNT))
def test_it_stays_within_its_bounds(history, count_max):
    appetite = Appetite(count_max)
    for count, handling_s, sending_s in history:
        appetite.fed(count, handling_s, sending_s)
        assert min(USUAL_COUNT, count_max) <= appetite.count <= count_max


@given(st.floats(1e-5, 1e-1), st.floats(0, 0.5))
def test_waiting_takes_half_of_the_time_at_most(handling_s, sending_s):
    """Of a participant whose commands never run out, unless it takes all that it may."""
    appetite = Appetite(MAX_COUNT)
    for _ in range(20):
        count = appetite.count
        appetite.fed(count, count * handling_s, sending_s)
    assert 2 * count * handling_s >= sending_s or count == MAX_COUNT
    assert count == USUAL_COUNT or count * handling_s <= 2 * sending_s


@given(st.floats(0, 1), st.floats(1e-5, 1e-1))
def test_a_narrow_network_gets_no_batch_that_it_takes_long_to_carry(round_trip_s, carrying_s):
    appetite = Appetite(MAX_COUNT)
    for _ in range(20):
        appetite.fed(appetite.count, 0.0, round_trip_s + appetite.count * carrying_s)
    assert appetite.count == USUAL_COUNT or round_trip_s + appetite.count * carrying_s <= 1.0


@given(st.lists(st.tuples(st.integers(0, USUAL_COUNT - 1), times, times)))
def test_batches_that_are_not_full_show_nothing(history):
    appetite = Appetite(MAX_COUNT)
    for batch in history:
        appetite.fed(*batch)
    assert appetite.count == USUAL_COUNT
