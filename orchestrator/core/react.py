"""react: what the world must be asked to do because of one event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orchestrator.core.decision import Decision
from orchestrator.core.definition import Definition
from orchestrator.core.effects import Effect, PublishOutcome, SendCommand
from orchestrator.core.events import CompensationRequested, Event, SagaEnded, StepRequested
from orchestrator.core.ids import Direction
from orchestrator.core.state import SagaState
from orchestrator.core.tuples import constructor

_DO, _UNDO = Direction.DO.value, Direction.UNDO.value
_send_command, _publish_outcome = constructor(SendCommand), constructor(PublishOutcome)


def react(definition: Definition, state: SagaState, event: Event) -> tuple[Effect, ...]:
    """Give the effects of `event`, where `state` is the saga after the whole transition. Pure."""
    make = _REACT.get(type(event))
    return () if make is None else (make(definition, state, event),)


def effects(definition: Definition, decision: Decision) -> tuple[Effect, ...]:
    """Give every effect of a decision, in the order of its events."""
    state = decision.state
    if state is None:
        return ()
    found: list[Effect] = []
    for event in decision.events:
        make = _REACT.get(type(event))
        if make is not None:
            found.append(make(definition, state, event))
    return tuple(found)


def _send(definition: Definition, state: SagaState, event: StepRequested) -> SendCommand:
    # From the second attempt on the event has no command, but the state has.
    index, attempt, due_ms, _, step_id = event
    step, saga_id = definition.steps[index], state.saga_id
    return _send_command(
        f"{saga_id}/{step_id}/do/{attempt}",
        saga_id,
        step_id,
        _DO,
        attempt,
        due_ms,
        step.participant,
        step.command_type,
        state.steps[index].command,
    )


def _send_undo(
    definition: Definition, state: SagaState, event: CompensationRequested
) -> SendCommand:
    undo = definition.steps[event.step].undo
    assert undo is not None  # noqa: S101 - for the type checker: nothing else is compensated
    return _send_command(
        f"{state.saga_id}/{event.step_id}/undo/{event.attempt}",
        state.saga_id,
        event.step_id,
        _UNDO,
        event.attempt,
        event.due_ms,
        undo.participant,
        undo.command_type,
        state.steps[event.step].command,
    )


def _publish(_: Definition, state: SagaState, event: SagaEnded) -> PublishOutcome:
    return _publish_outcome(
        state.saga_id,
        state.definition,
        state.version,
        event.phase,
        event.consistency,
        state.sequence,
        state.started_ms,
        event.result,
    )


_REACT: dict[type[Event], Callable[[Definition, SagaState, Any], Effect]] = {
    StepRequested: _send,
    CompensationRequested: _send_undo,
    SagaEnded: _publish,
}
