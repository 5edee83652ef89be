"""The second stage of a batch: what inputs that were understood do to their sagas.

Nothing is written here, neither bytes nor the overlay: all of it may still be dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from orchestrator.codec.records import Transition
from orchestrator.core.commands import StartSaga
from orchestrator.core.decide import decide
from orchestrator.core.effects import Effect
from orchestrator.core.react import effects
from orchestrator.core.state import SagaState
from orchestrator.core.tuples import constructor
from orchestrator.runtime.catalog import Catalog
from orchestrator.runtime.quarantine import Refusal, each
from orchestrator.runtime.reading import Read, Reroute, Understood, with_result
from orchestrator.runtime.shard import Lookup, Shard

NOT_ARMED = "not_armed"
"""Why a timer is refused that was disarmed, or fired, since it was found due."""


class Decided(NamedTuple):
    """What one input does to its saga."""

    transition: Transition
    caused: Sequence[Effect]
    traceparent: bytes | None
    state: SagaState | None
    before: SagaState | None
    """As it was before the open transaction."""


_transition, _decided = constructor(Transition), constructor(Decided)


class Decider:
    """Decides one input after the other. Deterministic, given the time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def decide(
        self, shard: Shard, now_ms: int, inputs: Sequence[Understood]
    ) -> list[Decided | Refusal | Reroute]:
        """Decide on inputs of a shard, in order, each on what those before it do to its saga.

        What was not understood comes back as it is. Raises as `quarantine.each`.
        """
        return each(partial(self._decide, shard, now_ms, {}), inputs)

    def _decide(
        self, shard: Shard, now_ms: int, changed: dict[str, Lookup], read: Understood
    ) -> Decided | Refusal | Reroute:
        if not isinstance(read, Read):
            return read
        command, cause, known, traceparent = read
        saga_id = command.saga_id
        state, before = changed.get(saga_id) or shard.look_up(saga_id)
        if state is not None:
            known = self._catalog.of(state)
        elif known is None and isinstance(command, StartSaga):
            return Refusal(*self._catalog.unknown(command.definition, command.version))
        command = with_result(command, state, known)
        definition = None if known is None else known.definition
        decision = decide(definition, state, command, now_ms)
        events, after, rejection = decision
        if rejection is not None:
            if rejection.reason == "unknown_version" and state is not None:
                return Refusal(*self._catalog.missing(state))
            return Refusal(*rejection)
        if not events:
            return Refusal(NOT_ARMED, "no such timer is armed")
        caused = () if definition is None else effects(definition, decision)
        sequence = 1 if state is None else state.sequence + 1
        transition = _transition(saga_id, sequence, now_ms, cause, len(caused), events)
        changed[saga_id] = (after, before)
        return _decided(transition, caused, traceparent, after, before)
