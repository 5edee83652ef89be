"""decide: what one input does to one saga. Total and pure: it never raises, whatever comes in."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from orchestrator.core.commands import (
    CancelSaga,
    Command,
    OperatorCommand,
    ReplyReceived,
    ResolveStep,
    RetrySaga,
    SkipStep,
    StartSaga,
    TimerFired,
)
from orchestrator.core.decision import Decision, Rejection
from orchestrator.core.definition import Definition
from orchestrator.core.draft import Draft, moment
from orchestrator.core.events import (
    CommandRefused,
    Event,
    SagaForgotten,
    SagaStarted,
    TimerIgnored,
)
from orchestrator.core.evolve import evolve
from orchestrator.core.forward import ROOT, begin
from orchestrator.core.operators import on_cancel, on_resolve, on_retry, on_skip, refused
from orchestrator.core.replies import ignored, on_reply
from orchestrator.core.state import SAGA_TIMER, TERMINAL, SagaState
from orchestrator.core.timing import is_due, on_timer
from orchestrator.core.tuples import constructor

_saga_started = constructor(SagaStarted)


def decide(
    definition: Definition | None, state: SagaState | None, command: Command, now_ms: int
) -> Decision:
    """Decide what `command` does at `now_ms` (ms since the epoch) to the saga that it names.

    `definition` is the one the saga runs on (for a start: the one asked for); None: the program has
    none such. `state` None: there is no such saga.

    Every input gives events or a rejection. The one exception is a timer that is not armed: timers
    are derived from the state, so it is no news to anybody.
    """
    return _DECIDE[type(command)](definition, state, command, now_ms)


def start_digest(command: StartSaga, version: int) -> bytes:
    """Give 8 bytes that tell a repeated start command from another one with the same saga id.

    `version` is what the command's version stands for: "the newest" is no other content than its
    number.
    """
    head = f"{command.definition}|{command.version or version}|".encode()
    return blake2b(head + command.payload, digest_size=8).digest()


_STARTED_BEFORE = {
    "duplicate": "it was started before with the same content: nothing is started anew",
    "conflict": "there is a saga of this id, started with other content: nothing is started",
}


def _start(
    definition: Definition | None, state: SagaState | None, command: StartSaga, now_ms: int
) -> Decision:
    if state is not None:
        digest = start_digest(command, state.version)
        reason = "duplicate" if digest == state.start_digest else "conflict"
        return _only(state, CommandRefused("start", reason, "", _STARTED_BEFORE[reason]))
    if definition is None or definition.name != command.definition:
        return _reject("unknown_definition", f"no definition {command.definition!r}")
    if command.version not in (0, definition.version):
        return _reject("unknown_version", f"no version {command.version}")
    started = _saga_started(
        saga_id=command.saga_id,
        definition=definition.name,
        version=definition.version,
        fingerprint=definition.fingerprint,
        steps_count=len(definition.steps),
        decisions_count=definition.decisions_count,
        started_ms=now_ms,
        due_ms=moment(now_ms, definition.deadline_ms),
        start_digest=start_digest(command, definition.version),
        payload=command.payload,
    )
    after = evolve(None, started)
    assert after is not None  # noqa: S101 - for the type checker: only SagaForgotten gives None
    draft = Draft(definition, after, now_ms)
    draft.events.append(started)
    begin(draft, ROOT)
    return draft.decision()


def _reply(
    definition: Definition | None, state: SagaState | None, command: ReplyReceived, now_ms: int
) -> Decision:
    if state is None:
        return _unknown_saga(command)
    if state.phase in TERMINAL:
        return _only(state, ignored(command, "finished"))
    if definition is None or definition.fingerprint != state.fingerprint:
        return _unknown_version(state)
    draft = Draft(definition, state, now_ms)
    on_reply(draft, command)
    return draft.decision()


def _timer(
    definition: Definition | None, state: SagaState | None, command: TimerFired, now_ms: int
) -> Decision:
    if state is None or not is_due(state, command, now_ms):
        return Decision((), state)
    if state.phase in TERMINAL:
        forget = command.step == SAGA_TIMER
        return _only(state, SagaForgotten() if forget else TimerIgnored(command.step))
    if definition is None or definition.fingerprint != state.fingerprint:
        return _unknown_version(state)
    draft = Draft(definition, state, now_ms)
    on_timer(draft, command)
    return draft.decision()


def _operator(
    definition: Definition | None, state: SagaState | None, command: OperatorCommand, now_ms: int
) -> Decision:
    if state is None:
        return _unknown_saga(command)
    if state.phase in TERMINAL:
        return _only(state, refused(command, "finished", "the saga has ended"))
    if definition is None or definition.fingerprint != state.fingerprint:
        return _unknown_version(state)
    draft = Draft(definition, state, now_ms)
    _OPERATOR[type(command)](draft, command)
    return draft.decision()


def _only(state: SagaState, event: Event) -> Decision:
    return Decision((event,), evolve(state, event))


def _reject(reason: str, text: str) -> Decision:
    return Decision((), None, Rejection(reason, text))


def _unknown_saga(command: ReplyReceived | OperatorCommand) -> Decision:
    return _reject("unknown_saga", f"no saga {command.saga_id!r}")


def _unknown_version(state: SagaState) -> Decision:
    text = f"this program has no {state.definition!r} version {state.version} as it was started"
    return Decision((), state, Rejection("unknown_version", text))


_OPERATOR: dict[type[OperatorCommand], Callable[[Draft, Any], None]] = {
    CancelSaga: on_cancel,
    RetrySaga: on_retry,
    SkipStep: on_skip,
    ResolveStep: on_resolve,
}

_DECIDE: dict[
    type[Command], Callable[[Definition | None, SagaState | None, Any, int], Decision]
] = {
    StartSaga: _start,
    ReplyReceived: _reply,
    TimerFired: _timer,
    CancelSaga: _operator,
    RetrySaga: _operator,
    SkipStep: _operator,
    ResolveStep: _operator,
}
