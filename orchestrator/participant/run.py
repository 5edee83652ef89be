"""Running one handler: its command decoded, its answer classified and encoded, its faults caught."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from orchestrator.core.commands import ReplyOutcome
from orchestrator.guard import Raised, call
from orchestrator.observability.lean import structlog
from orchestrator.participant.handler import Binding, Operation, RetryLater
from orchestrator.participant.inbox import Task

_log = structlog.get_logger()
TEXT_LENGTH_MAX = 500
"""Characters of a text that travels to the saga's timeline; the rest is in this process's log."""


class Payloads(Protocol):
    """A user's typed values as bytes (`codec.payloads.AvroPayloads`). Both may raise."""

    def encode(self, value: Any, kind: Any, /) -> bytes:
        """Write a value."""
        ...

    def decode(self, value: bytes, kind: Any, /) -> Any:
        """Read a value."""
        ...


class Answer(NamedTuple):
    """What is answered to one command."""

    outcome: ReplyOutcome
    payload: bytes
    text: str
    repeated: bool = False
    """Given from the ledger; no handler ran."""
    clean: bool = False
    """With RETRY: the handler says that it has done nothing."""


class Runner:
    """Runs handlers. Never raises for what a handler does."""

    def __init__(
        self, bindings: Mapping[str, Binding], payloads: Payloads, payload_bytes_max: int
    ) -> None:
        """Make ready. A result of more bytes could not be sent: it is a fault of the handler."""
        self.payloads = payloads
        self.payload_bytes_max = payload_bytes_max
        self._bindings = dict(bindings)
        inside = {name for name, binding in bindings.items() if binding.inside is not None}
        self._inside = frozenset(inside)
        self._outside = frozenset(bindings.keys() - inside)

    def works_inside(self, command_type: str) -> bool:
        """Whether all effects of this command's handler are inside the ledger."""
        return command_type in self._inside

    def leaves_traces(self, command_type: str) -> bool:
        """Whether this command's handler has effects elsewhere."""
        return command_type in self._outside

    def run(self, task: Task, handle: object) -> Answer:
        """Run the command's handler; `handle` is the ledger's, for one that works inside."""
        binding = self._bindings.get(task.command.type)
        if binding is None:
            # An operator sees this in the saga's timeline; once the handler is deployed it heals.
            return self._fault(task, f"there is no handler for {task.command.type}", clean=True)
        command = call(self.payloads.decode, task.command.payload, binding.command)
        if isinstance(command, Raised):
            text = f"the command's payload cannot be read: {command.summary}"
            return self._fault(task, text, clean=True)
        extras = [task.operation if kind is Operation else handle for kind in binding.extras]
        value = call(binding.function, command, *extras)
        if isinstance(value, Raised):
            return self._raised(task, value)
        return self._answered(task, binding, value)

    def _answered(self, task: Task, binding: Binding, value: object) -> Answer:
        if isinstance(value, binding.results):
            outcome = ReplyOutcome.SUCCEEDED
        elif isinstance(value, binding.failures):
            outcome = ReplyOutcome.FAILED
        else:
            text = f"the handler returned {type(value).__name__}, not {binding.declared}"
            return self._fault(task, text)
        payload = call(self.payloads.encode, value, type(value))
        if isinstance(payload, Raised):
            text = f"the handler's {type(value).__name__} cannot be encoded: {payload.summary}"
            return self._fault(task, text)
        if len(payload) > self.payload_bytes_max:
            text = f"the handler's answer has {len(payload)} bytes, max {self.payload_bytes_max}"
            return self._fault(task, text)
        text = "" if outcome == ReplyOutcome.SUCCEEDED else type(value).__name__
        return Answer(outcome, payload, text)

    def _raised(self, task: Task, raised: Raised) -> Answer:
        if isinstance(raised.error, RetryLater):
            _log.info("retry_later", **_about(task), text=str(raised.error))
            text = str(raised.error)[:TEXT_LENGTH_MAX]
            return Answer(ReplyOutcome.RETRY, b"", text, clean=True)
        _log.error("handler_raised", **_about(task), exc_info=raised.error)
        return Answer(ReplyOutcome.RETRY, b"", raised.text[:TEXT_LENGTH_MAX])

    def _fault(self, task: Task, text: str, *, clean: bool = False) -> Answer:
        _log.error("handler_fault", **_about(task), text=text)
        return Answer(ReplyOutcome.RETRY, b"", text[:TEXT_LENGTH_MAX], clean=clean)


def _about(task: Task) -> dict[str, object]:
    origin = task.envelope.origin
    return {
        "saga": task.command.saga,
        "effect": task.command.effect,
        "command": task.command.type,
        "cause": f"{origin.topic}/{origin.partition}/{origin.offset}",
    }
