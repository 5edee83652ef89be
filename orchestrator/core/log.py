"""The log of one saga: fold its events, and see that none is missing or repeated."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.events import Event
from orchestrator.core.evolve import evolve
from orchestrator.core.state import SagaState
from orchestrator.errors import SequenceGap


def fold(events: Iterable[Event], state: SagaState | None = None) -> SagaState | None:
    """Fold `events` into `state`. Needs no definition.

    Raises:
        StateError: an event is not allowed where it stands.
    """
    for event in events:
        state = evolve(state, event)
    return state


def verify_sequence(state: SagaState | None, first_sequence: int) -> None:
    """See that a transition whose first event has the number `first_sequence` comes next.

    Raises:
        SequenceGap: an event is missing or repeated.
    """
    expected = 1 if state is None else state.sequence + 1
    if first_sequence != expected:
        raise SequenceGap(f"expected event {expected}, found {first_sequence}")


def replay(
    state: SagaState | None, first_sequence: int, events: Iterable[Event]
) -> SagaState | None:
    """Fold one recorded transition into `state`.

    Raises:
        SequenceGap: an event before it is missing, or it was folded already.
        StateError: an event is not allowed where it stands.
    """
    verify_sequence(state, first_sequence)
    return fold(events, state)
