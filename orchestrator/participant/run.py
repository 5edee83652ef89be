"""Running one handler: its command decoded, its answer classified and encoded, its faults caught."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from orchestrator.core.commands import ReplyOutcome
from orchestrator.core.tuples import constructor
from orchestrator.guard import CAUGHT, Raised, call, raised_by
from orchestrator.observability.lean import structlog
from orchestrator.participant.handler import Binding, Operation, RetryLater
from orchestrator.participant.inbox import Task
from orchestrator.participant.ledger import FAILED, SUCCEEDED

_log = structlog.get_logger()
TEXT_LENGTH_MAX = 500
"""Characters of a text that travels to the saga's timeline; the rest is in this process's log."""
RETRY = int(ReplyOutcome.RETRY)


class Payloads(Protocol):
    """A user's typed values as bytes (`codec.payloads.AvroPayloads`). Everything may raise."""

    def encoder(self, kind: Any, /) -> Callable[[Any], bytes]:
        """Give what writes values of a type."""
        ...

    def decoder(self, kind: Any, /) -> Callable[[bytes], Any]:
        """Give what reads them."""
        ...


class Answer(NamedTuple):
    """What is answered to one command."""

    outcome: int
    """A `ReplyOutcome`."""
    payload: bytes
    text: str
    repeated: bool = False
    """Given from the ledger; no handler ran."""
    clean: bool = False
    """With RETRY: the handler says that it has done nothing."""


_answer = constructor(Answer)


class _Kind(NamedTuple):
    """What answers of one class mean, and how they travel."""

    outcome: int
    text: str
    encode: Callable[[Any], bytes]


class _Ready(NamedTuple):
    """A handler that has been asked for before."""

    binding: Binding
    decode: Callable[[bytes], Any]
    answers: dict[type, _Kind]
    """By the classes that it has answered with so far."""


class Runner:
    """Runs handlers. Never raises for what a handler does."""

    def __init__(
        self, bindings: Mapping[str, Binding], payloads: Payloads, payload_bytes_max: int
    ) -> None:
        """Make ready. A result of more bytes could not be sent: it is a fault of the handler."""
        self.payloads = payloads
        self.payload_bytes_max = payload_bytes_max
        self.inside = frozenset(name for name, each in bindings.items() if each.inside is not None)
        """Commands whose handlers have all their effects inside the ledger."""
        self.outside = frozenset(bindings.keys() - self.inside)
        """Commands whose handlers have effects elsewhere."""
        self._bindings = dict(bindings)
        self._ready: dict[str, _Ready] = {}

    def run(self, task: Task, handle: object) -> Answer:
        """Run the command's handler; `handle` is the ledger's, for one that works inside."""
        command_type = task.command.type
        if command_type not in self._bindings:
            # An operator sees this in the saga's timeline; once the handler is deployed it heals.
            return self._fault(task, f"there is no handler for {command_type}", clean=True)
        try:
            ready = self._ready.get(command_type) or self._make_ready(command_type)
            command = ready.decode(task.command.payload)
        except CAUGHT as error:
            text = f"the command's payload cannot be read: {raised_by(None, error).summary}"
            return self._fault(task, text, clean=True)
        function, extras = ready.binding.function, ready.binding.extras
        given: Sequence[object] = (handle,) * len(extras)
        if Operation in extras:
            given = [task.operation if kind is Operation else handle for kind in extras]
        try:
            value = function(command, *given)
        except CAUGHT as error:
            return self._raised(task, raised_by(function, error))
        return self._answered(task, ready, value)

    def _make_ready(self, command_type: str) -> _Ready:
        binding = self._bindings[command_type]
        ready = _Ready(binding, self.payloads.decoder(binding.command), {})
        self._ready[command_type] = ready
        return ready

    def _answered(self, task: Task, ready: _Ready, value: object) -> Answer:
        known = ready.answers.get(type(value)) or self._meet(ready, value)
        if isinstance(known, str):
            return self._fault(task, known)
        outcome, text, encode = known
        try:
            payload = encode(value)
        except CAUGHT as error:
            return self._fault(task, _cannot_travel(value, raised_by(None, error)))
        if len(payload) > self.payload_bytes_max:
            text = f"the handler's answer has {len(payload)} bytes, max {self.payload_bytes_max}"
            return self._fault(task, text)
        return _answer(outcome, payload, text)

    def _meet(self, ready: _Ready, value: object) -> _Kind | str:
        """Say what a value of a new class means, or what is wrong with it."""
        binding, kind = ready.binding, type(value)
        if not isinstance(value, binding.results + binding.failures):
            return f"the handler returned {kind.__name__}, not {binding.declared}"
        encode = call(self.payloads.encoder, kind)
        if isinstance(encode, Raised):
            return _cannot_travel(value, encode)
        known = _Kind(FAILED, kind.__name__, encode)
        if isinstance(value, binding.results):
            known = _Kind(SUCCEEDED, "", encode)
        ready.answers[kind] = known
        return known

    def _raised(self, task: Task, raised: Raised) -> Answer:
        if isinstance(raised.error, RetryLater):
            _log.info("retry_later", **_about(task), text=str(raised.error))
            text = str(raised.error)[:TEXT_LENGTH_MAX]
            return Answer(RETRY, b"", text, clean=True)
        _log.error("handler_raised", **_about(task), exc_info=raised.error)
        return Answer(RETRY, b"", raised.text[:TEXT_LENGTH_MAX])

    def _fault(self, task: Task, text: str, *, clean: bool = False) -> Answer:
        _log.error("handler_fault", **_about(task), text=text)
        return Answer(RETRY, b"", text[:TEXT_LENGTH_MAX], clean=clean)


def _cannot_travel(value: object, raised: Raised) -> str:
    return f"the handler's {type(value).__name__} cannot be encoded: {raised.summary}"


def _about(task: Task) -> dict[str, object]:
    origin = task.envelope.origin
    return {
        "saga": task.command.saga,
        "effect": task.command.effect,
        "command": task.command.type,
        "cause": f"{origin.topic}/{origin.partition}/{origin.offset}",
    }
