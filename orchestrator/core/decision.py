"""What one input did to one saga: the result of `decide`."""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.core.events import Event
from orchestrator.core.state import SagaState


class Rejection(NamedTuple):
    """A command that no saga can take: there is none of that id, or no such definition.

    (A refusal by an existing saga is an event of that saga: `CommandRefused`.)
    `reason` is a stable code: `unknown_saga`, `unknown_definition`, `unknown_version`.
    """

    reason: str
    text: str


class Decision(NamedTuple):
    """The events in order and the state after them; or, without events, a rejection or nothing.

    `state` None after events: the saga is forgotten.
    """

    events: tuple[Event, ...]
    state: SagaState | None
    rejection: Rejection | None = None
