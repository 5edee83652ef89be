"""How many bytes a transaction may carry, on networks of any kind."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.kafka.patience import Patience
from orchestrator.runtime.allowance import FIRST_BYTES, Allowance

DOUBT_S = 1.0
MAX_BYTES = 8 * FIRST_BYTES
bytes_counts = st.integers(0, 2 * MAX_BYTES)
leeways = st.floats(0.1, 1e6)


class Network:
    """Takes so long for a step, and so many bytes a second."""

    def __init__(self, latency_s, bytes_per_s):
        self.latency_s, self.bytes_per_s = latency_s, bytes_per_s

    def takes_s(self, bytes_count):
        return self.latency_s + bytes_count / self.bytes_per_s

    def carry(self, allowance, bytes_count):
        allowance.committed(bytes_count, DOUBT_S / self.takes_s(bytes_count))


networks = st.builds(Network, st.floats(0.001, 0.4), st.floats(1e5, 1e9))
slow_networks = st.builds(Network, st.floats(0.11, 0.4), st.floats(1e5, 1e9))


@given(st.lists(st.tuples(bytes_counts, leeways)), st.integers(10_000, MAX_BYTES))
def test_it_stays_within_its_bounds(history, bytes_max):
    allowance = Allowance(bytes_max)
    for bytes_count, leeway in history:
        allowance.committed(bytes_count, leeway)
        assert min(FIRST_BYTES, bytes_max) <= allowance.bytes_count <= bytes_max


@given(networks, st.lists(st.floats(0, 1), max_size=30))
def test_what_is_more_than_at_first_takes_half_of_the_time_at_most(network, shares):
    allowance = Allowance(MAX_BYTES)
    for share in shares:
        network.carry(allowance, int(share * allowance.bytes_count))
        network.carry(allowance, allowance.bytes_count)
        if allowance.bytes_count > FIRST_BYTES:
            assert network.takes_s(allowance.bytes_count) <= 0.5 * DOUBT_S


@given(slow_networks)
def test_full_transactions_come_to_all_that_the_network_carries_in_time(network):
    allowance = Allowance(MAX_BYTES)
    for _ in range(100):
        network.carry(allowance, allowance.bytes_count)
    carried = (0.5 * DOUBT_S - network.latency_s) * network.bytes_per_s
    assert allowance.bytes_count >= min(MAX_BYTES, 0.9 * carried)


@given(networks, st.floats(1e5, 1e9))
def test_a_network_that_becomes_slow_is_met_after_one_transaction(network, bytes_per_s):
    allowance = Allowance(MAX_BYTES)
    for _ in range(100):
        network.carry(allowance, allowance.bytes_count)
    network.bytes_per_s = bytes_per_s
    network.carry(allowance, allowance.bytes_count)
    if allowance.bytes_count > FIRST_BYTES:
        assert network.takes_s(allowance.bytes_count) <= DOUBT_S


@given(st.integers(0, 5_000), st.integers(0, 2 * FIRST_BYTES))
def test_there_is_room_for_as_many_as_fill_it_up(count, bytes_count):
    allowance = Allowance(MAX_BYTES)
    room_count = allowance.room_count(count, bytes_count)
    assert room_count >= 1
    if count and bytes_count:
        filled_bytes = bytes_count * (count + room_count - 1) // count
        assert filled_bytes <= max(FIRST_BYTES, bytes_count)


@given(st.lists(st.tuples(st.integers(0, FIRST_BYTES - 1), leeways)))
def test_transactions_that_are_not_full_show_nothing(history):
    allowance = Allowance(MAX_BYTES)
    for bytes_count, leeway in history:
        allowance.committed(bytes_count, leeway)
    assert allowance.bytes_count == FIRST_BYTES


@given(st.lists(st.tuples(bytes_counts, leeways)), bytes_counts, st.floats(10, 1e6))
def test_it_is_small_on_a_quick_network(history, bytes_count, leeway):
    allowance = Allowance(MAX_BYTES)
    for each in history:
        allowance.committed(*each)
    allowance.committed(bytes_count, leeway)
    assert allowance.bytes_count == FIRST_BYTES


far_networks = st.builds(Network, st.floats(0.41, 3.0), st.floats(1e5, 1e9))


def carry_full(network, allowance, patience):
    """A full transaction, and whether it was in doubt."""
    took_ms = network.takes_s(allowance.bytes_count) * 1_000
    is_doubtful = took_ms >= patience.limit_ms
    patience.took(took_ms)
    if is_doubtful:
        allowance.failed()
    else:
        allowance.committed(allowance.bytes_count, patience.limit_ms / took_ms)
    return is_doubtful


@given(st.builds(Network, st.floats(0.41, 0.9), st.floats(1e8, 1e9)))
def test_far_and_wide_it_comes_to_all_that_a_transaction_may_carry(network):
    allowance, patience = Allowance(MAX_BYTES), Patience(DOUBT_S * 1_000)
    doubts_count = sum(carry_full(network, allowance, patience) for _ in range(100))
    assert not doubts_count
    assert allowance.bytes_count == MAX_BYTES


@given(far_networks)
def test_once_a_network_is_known_its_transactions_are_undoubted_and_bounded(network):
    allowance, patience = Allowance(MAX_BYTES), Patience(DOUBT_S * 1_000)
    for _ in range(100):
        carry_full(network, allowance, patience)
    for _ in range(100):
        assert not carry_full(network, allowance, patience)
        if allowance.bytes_count > FIRST_BYTES:
            assert network.takes_s(allowance.bytes_count) <= 1.01 * DOUBT_S


def test_a_failure_lets_it_begin_anew():
    allowance = Allowance(MAX_BYTES)
    allowance.committed(FIRST_BYTES, 3.0)
    assert allowance.bytes_count > FIRST_BYTES
    allowance.failed()
    assert allowance.bytes_count == FIRST_BYTES
