"""Effects: what the world must be asked to do. The shell performs them, the core only says so."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class SendCommand(NamedTuple):
    """Send one step command to a participant. `effect_id` is derived: saga/step/direction/attempt."""

    effect_id: str
    saga_id: str
    step_id: str
    direction: str
    attempt: int
    due_ms: int
    participant: str
    command_type: str
    payload: bytes


class PublishOutcome(NamedTuple):
    """Tell downstream systems how a saga ended."""

    saga_id: str
    definition: str
    version: int
    phase: int
    consistency: int
    sequence: int
    started_ms: int
    result: bytes


Effect: TypeAlias = SendCommand | PublishOutcome
