"""Durable sagas on Kafka.

Everything that a saga or a participant is written with is here; each name is loaded when it is
first used, so that the import itself costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.client import Client
    from orchestrator.definition.arity import block, derive, step
    from orchestrator.definition.durations import days, hours, minutes, seconds
    from orchestrator.definition.flow import Flow
    from orchestrator.definition.later import Call, Later
    from orchestrator.definition.payload import Command, Done, Handler, Participant, Payload
    from orchestrator.definition.problem import Problem
    from orchestrator.definition.retry import Retry
    from orchestrator.definition.saga import Saga, Start, check, saga
    from orchestrator.errors import DefinitionError, OrchestratorError

_HOMES = {
    "orchestrator.client": ("Client",),
    "orchestrator.definition.arity": ("block", "derive", "step"),
    "orchestrator.definition.durations": ("days", "hours", "minutes", "seconds"),
    "orchestrator.definition.flow": ("Flow",),
    "orchestrator.definition.later": ("Call", "Later"),
    "orchestrator.definition.payload": ("Command", "Done", "Handler", "Participant", "Payload"),
    "orchestrator.definition.problem": ("Problem",),
    "orchestrator.definition.retry": ("Retry",),
    "orchestrator.definition.saga": ("Saga", "Start", "check", "saga"),
    "orchestrator.errors": ("DefinitionError", "OrchestratorError"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Call",
    "Client",
    "Command",
    "DefinitionError",
    "Done",
    "Flow",
    "Handler",
    "Later",
    "OrchestratorError",
    "Participant",
    "Payload",
    "Problem",
    "Retry",
    "Saga",
    "Start",
    "block",
    "check",
    "days",
    "derive",
    "hours",
    "minutes",
    "saga",
    "seconds",
    "step",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(home), name)
    return found


def __dir__() -> list[str]:
    return __all__
