"""Running one handler: its command decoded, its answer classified and encoded, its faults caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
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

    function: Callable[..., Any]
    gives: Callable[[Task, object], Sequence[object]] | None
    """What it takes besides the command; None: the ledger's handle, as most do."""
    answers: dict[type, _Kind]
    """By the classes that it has answered with so far."""


class _Unread(NamedTuple):
    """In the place of a command that cannot be had."""

    text: str


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
        self._decoders: dict[str, Callable[[bytes], Any]] = {}

    def run(self, task: Task) -> Answer:
        """Run the handler of a command, one that works elsewhere."""
        (command,) = self.read([task])
        return self.execute(task, command, None)

    def read(self, tasks: Iterable[Task]) -> list[object]:
        """Decode the payload of each, for `execute`: one after the other, as that is cheaper."""
        decoders, found = self._decoders, list[object]()
        for task in tasks:
            try:
                found.append(decoders[task.asked.type](task.payload))
            except CAUGHT as error:
                found.append(self._read_first(task, error))
        return found

    def execute(self, task: Task, command: object, handle: object) -> Answer:
        """Run the handler on its command; `handle` is the ledger's, for one that works inside."""
        if type(command) is _Unread:
            return self._fault(task, command.text, clean=True)
        function, gives, answers = self._ready[task.asked.type]
        try:
            if gives is None:
                value = function(command, handle)
            else:
                value = function(command, *gives(task, handle))
        except CAUGHT as error:
            return self._raised(task, raised_by(function, error))
        outcome, text, encode = answers.get(type(value)) or self._meet(task, answers, value)
        try:
            payload = encode(value)
        except CAUGHT as error:
            return self._fault(task, _cannot_travel(value, raised_by(None, error)))
        if len(payload) > self.payload_bytes_max:
            text = f"the handler's answer has {len(payload)} bytes, max {self.payload_bytes_max}"
            return self._fault(task, text)
        return _answer(outcome, payload, text)

    def _read_first(self, task: Task, error: BaseException) -> object:
        """Do as `read`: the handler is asked for the first time, or its command was damaged."""
        command_type = task.asked.type
        binding = self._bindings.get(command_type)
        if binding is None:
            # An operator sees this in the saga's timeline; once the handler is deployed it heals.
            return _Unread(f"there is no handler for {command_type}")
        if command_type not in self._decoders:
            try:
                decode = self.payloads.decoder(binding.command)
                command = decode(task.payload)
            except CAUGHT as other:
                error = other
            else:
                extras = binding.extras
                takes_handle = len(extras) == 1 and extras[0] is not Operation
                gives = None if takes_handle else partial(_given, extras)
                self._ready[command_type] = _Ready(binding.function, gives, {})
                self._decoders[command_type] = decode
                return command
        summary = raised_by(None, error).summary
        return _Unread(f"the command's payload cannot be read: {summary}")

    def _meet(self, task: Task, answers: dict[type, _Kind], value: object) -> _Kind:
        """Say what a value of a new class means; one that is no answer, that it is a fault."""
        binding, kind = self._bindings[task.asked.type], type(value)
        if not isinstance(value, binding.results + binding.failures):
            text = f"the handler returned {kind.__name__}, not {binding.declared}"
            return _no_answer(self._fault(task, text))
        encode = call(self.payloads.encoder, kind)
        if isinstance(encode, Raised):
            return _no_answer(self._fault(task, _cannot_travel(value, encode)))
        known = _Kind(FAILED, kind.__name__, encode)
        if isinstance(value, binding.results):
            known = _Kind(SUCCEEDED, "", encode)
        answers[kind] = known
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


def _no_answer(fault: Answer) -> _Kind:
    return _Kind(fault.outcome, fault.text, lambda _: b"")


def _given(extras: Sequence[type], task: Task, handle: object) -> list[object]:
    return [task.operation if kind is Operation else handle for kind in extras]


def _cannot_travel(value: object, raised: Raised) -> str:
    return f"the handler's {type(value).__name__} cannot be encoded: {raised.summary}"


def _about(task: Task) -> dict[str, object]:
    origin = task.envelope.origin
    return {
        "saga": task.saga,
        "effect": task.effect.decode(),
        "command": task.asked.type,
        "cause": f"{origin.topic}/{origin.partition}/{origin.offset}",
    }
