"""The language that sagas are written in, and what the build makes of it.

`payload` holds the contracts, `arity` the decorators `@step`, `@derive` and `@block`, `flow` the
verbs, `saga` the definition itself. A plan is drawn once (`plan`, `drawing`), checked (`check`),
frozen into the core's tree (`freeze`) and bound to a codec (`binding`).

What users write with is in `orchestrator` itself; here is what the rest of the engine needs.
"""

from __future__ import annotations

from orchestrator.definition.binding import PayloadCodec
from orchestrator.definition.payload import Handler, handlers_of, participant_of
from orchestrator.definition.problem import Place, Problem, Severity
from orchestrator.definition.saga import Saga, Start, sagas_of

__all__ = [
    "Handler",
    "PayloadCodec",
    "Place",
    "Problem",
    "Saga",
    "Severity",
    "Start",
    "handlers_of",
    "participant_of",
    "sagas_of",
]
