"""A state gains no more bytes by a transition than its events have, twice over: workers rely on it.

Of many inputs of one saga in one transaction only the last has its state encoded, so that the others
are held against the limit of a record by what their events weigh.
"""

from __future__ import annotations

from random import Random

from core_simulator import SAGA, simulate
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.codec.envelope import Origin
from orchestrator.codec.records import Cause, Transition
from orchestrator.codec.wire import RecordCodec
from orchestrator.core import events as ev
from orchestrator.core.evolve import evolve

CODEC = RecordCodec()
CAUSE = Cause("reply", Origin("t", 0, 0), "")


def growth(log):
    """What each transition weighs, and by how much the encoded state grew."""
    state, bytes_before = None, 0
    for events in log:
        for event in events:
            state = evolve(state, event)
        if state is None:
            return
        bytes_after = len(CODEC.encode_snapshot(state))
        weight = len(CODEC.encode_transition(Transition(SAGA, 1, 1, CAUSE, 0, events)))
        yield events, weight, bytes_after - bytes_before
        bytes_before = bytes_after


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_a_state_gains_at_most_twice_what_its_events_weigh(seed):
    for events, weight, gained in growth(simulate(Random(seed)).log):
        if not isinstance(events[0], ev.SagaStarted | ev.RetryOrdered):
            assert gained <= 2 * weight, events
