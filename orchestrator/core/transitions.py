"""The tables: which event may follow which status. `evolve` obeys them, the docs are drawn from them.

`python -m orchestrator.core.transitions > docs/state-machine.md` writes the page.
"""

from __future__ import annotations

import sys
from typing import TypeAlias

from orchestrator.core.events import (
    AttemptFailed,
    BranchChosen,
    CommandRefused,
    CompensationRequested,
    CompensationStarted,
    CompensationStuck,
    CompensationSucceeded,
    DeadlinePassed,
    Event,
    NodeFaulted,
    ReplyIgnored,
    RetryOrdered,
    SagaEnded,
    SagaForgotten,
    SagaStarted,
    StepFailed,
    StepRequested,
    StepResolved,
    StepSkipped,
    StepStuck,
    StepSucceeded,
    StepUnknown,
    TimerIgnored,
)
from orchestrator.core.state import Phase, StepStatus

_R, _C = Phase.RUNNING, Phase.COMPENSATING
_OPEN: dict[Phase | None, tuple[Phase | None, ...]] = {_R: (_R,), _C: (_C,)}
_FORWARD: dict[Phase | None, tuple[Phase | None, ...]] = {_R: (_R,)}
_BACKWARD: dict[Phase | None, tuple[Phase | None, ...]] = {_C: (_C,)}
_ANY: dict[Phase | None, tuple[Phase | None, ...]] = {phase: (phase,) for phase in Phase}

PhaseTable: TypeAlias = dict[type[Event], dict[Phase | None, tuple[Phase | None, ...]]]
StepTable: TypeAlias = dict[type[Event], dict[StepStatus, StepStatus]]

PHASES: PhaseTable = {
    SagaStarted: {None: (_R,)},
    BranchChosen: _FORWARD,
    StepRequested: _FORWARD,
    StepSucceeded: _OPEN,
    StepFailed: _OPEN,
    AttemptFailed: _OPEN,
    StepUnknown: _OPEN,
    StepStuck: _FORWARD,
    CompensationStarted: {_R: (_C,)},
    CompensationRequested: _BACKWARD,
    CompensationSucceeded: _BACKWARD,
    CompensationStuck: _BACKWARD,
    NodeFaulted: _FORWARD,
    RetryOrdered: _OPEN,
    StepSkipped: _OPEN,
    StepResolved: _OPEN,
    CommandRefused: _ANY,
    ReplyIgnored: _ANY,
    TimerIgnored: _ANY,
    DeadlinePassed: _OPEN,
    SagaEnded: {_R: (Phase.COMPLETED,), _C: (Phase.ROLLED_BACK, Phase.CANCELLED)},
    SagaForgotten: {
        Phase.COMPLETED: (None,),
        Phase.ROLLED_BACK: (None,),
        Phase.CANCELLED: (None,),
    },
}
"""Event, phase before, phases that may follow. None: there is no saga. What is not here is illegal."""

_S = StepStatus

STEPS: StepTable = {
    StepRequested: {
        _S.IDLE: _S.REQUESTED,
        _S.WAITING: _S.REQUESTED,
        _S.STUCK: _S.REQUESTED,
    },
    StepSucceeded: {
        _S.REQUESTED: _S.SUCCEEDED,
        _S.WAITING: _S.SUCCEEDED,
        _S.STUCK: _S.SUCCEEDED,
    },
    StepFailed: {
        _S.REQUESTED: _S.FAILED,
        _S.WAITING: _S.FAILED,
        _S.STUCK: _S.FAILED,
    },
    AttemptFailed: {
        _S.REQUESTED: _S.WAITING,
        _S.UNDO_REQUESTED: _S.UNDO_WAITING,
    },
    StepUnknown: {
        _S.REQUESTED: _S.UNKNOWN,
        _S.WAITING: _S.UNKNOWN,
    },
    StepStuck: {
        _S.REQUESTED: _S.STUCK,
        _S.WAITING: _S.STUCK,
    },
    CompensationRequested: {
        _S.SUCCEEDED: _S.UNDO_REQUESTED,
        _S.UNKNOWN: _S.UNDO_REQUESTED,
        _S.UNDO_WAITING: _S.UNDO_REQUESTED,
        _S.UNDO_STUCK: _S.UNDO_REQUESTED,
    },
    CompensationSucceeded: {
        _S.UNDO_REQUESTED: _S.UNDONE,
        _S.UNDO_WAITING: _S.UNDONE,
        _S.UNDO_STUCK: _S.UNDONE,
    },
    CompensationStuck: {
        _S.SUCCEEDED: _S.UNDO_STUCK,
        _S.UNKNOWN: _S.UNDO_STUCK,
        _S.UNDO_REQUESTED: _S.UNDO_STUCK,
        _S.UNDO_WAITING: _S.UNDO_STUCK,
        _S.UNDO_STUCK: _S.UNDO_STUCK,
    },
    StepSkipped: {
        _S.IDLE: _S.SKIPPED,
        _S.REQUESTED: _S.SKIPPED,
        _S.WAITING: _S.SKIPPED,
        _S.STUCK: _S.SKIPPED,
        _S.UNDO_REQUESTED: _S.UNDO_SKIPPED,
        _S.UNDO_WAITING: _S.UNDO_SKIPPED,
        _S.UNDO_STUCK: _S.UNDO_SKIPPED,
    },
    StepResolved: {
        _S.IDLE: _S.SUCCEEDED,
        _S.REQUESTED: _S.SUCCEEDED,
        _S.WAITING: _S.SUCCEEDED,
        _S.STUCK: _S.SUCCEEDED,
        _S.UNDO_REQUESTED: _S.UNDONE,
        _S.UNDO_WAITING: _S.UNDONE,
        _S.UNDO_STUCK: _S.UNDONE,
    },
}
"""Event, status before, status after, of the one step that the event names. The rest is illegal."""


def diagram() -> str:
    """Draw both tables as a page of Markdown with Mermaid state diagrams. Pure."""
    return _PAGE.format(
        phases="\n".join(_phase_lines()),
        steps="\n".join(_step_lines()),
        everywhere=", ".join(f"`{event.__name__}`" for event in PHASES if _changes_nothing(event)),
    )


def _changes_nothing(event: type[Event]) -> bool:
    moves = PHASES[event]
    return event not in STEPS and all(after == (before,) for before, after in moves.items())


def _phase_lines() -> list[str]:
    edges: dict[tuple[str, str], list[str]] = {}
    for event, moves in PHASES.items():
        for before, phases in moves.items():
            for after in phases:
                if before != after:
                    ends = _phase_name(before), _phase_name(after)
                    edges.setdefault(ends, []).append(event.__name__)
    return _lines(edges)


def _step_lines() -> list[str]:
    edges: dict[tuple[str, str], list[str]] = {("[*]", StepStatus.IDLE.name): [""]}
    for event, moves in STEPS.items():
        for before, after in moves.items():
            edges.setdefault((before.name, after.name), []).append(event.__name__)
    return _lines(edges)


def _phase_name(phase: Phase | None) -> str:
    return "[*]" if phase is None else phase.name


def _lines(edges: dict[tuple[str, str], list[str]]) -> list[str]:
    return [
        f"    {before} --> {after}" + (f" : {', '.join(names)}" if any(names) else "")
        for (before, after), names in edges.items()
    ]


_PAGE = """\
# The state machine

Drawn from the tables of `orchestrator/core/transitions.py` by
`python -m orchestrator.core.transitions > docs/state-machine.md`; a test keeps the two equal. An event
that the tables do not allow is refused when a log is replayed: the log or the program is wrong.

## A saga

```mermaid
stateDiagram-v2
{phases}
```

Without effect on the phase, and on no single step: {everywhere}.

## A step

```mermaid
stateDiagram-v2
{steps}
```
"""


if __name__ == "__main__":
    sys.stdout.write(diagram())
