"""Handlers: what a user's function may take, may give, and how it says "not now"."""

from __future__ import annotations

import inspect
import sqlite3
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from orchestrator.definition import kinds
from orchestrator.errors import ConfigurationError
from orchestrator.guard import Raised, call
from orchestrator.participant.transaction import Transaction


class RetryLater(Exception):
    """Raise it in a handler: nothing was done, and trying again later may help.

    Any other exception also means "again", but leaves open what was done before it.
    """


class Operation(NamedTuple):
    """What a handler is asked to do once; a handler may take it as a further parameter."""

    key: str
    """`saga/step/direction`: the same for every attempt. An idempotency key for other services."""
    saga: str
    step: str
    direction: str
    """`do` or `undo`."""
    attempt: int
    due_ms: int
    """When the orchestrator stops waiting for this attempt, in ms since the epoch."""


class Named(Protocol):
    """A `definition.payload.Participant`."""

    @property
    def name(self) -> str:
        """Its name."""
        ...


class AnyHandler(Protocol):
    """A `definition.payload.Handler`: a command's class and the function that executes it."""

    @property
    def command(self) -> type[Any]:
        """Class of the command."""
        ...

    @property
    def function(self) -> Callable[..., Any]:
        """The user's function."""
        ...

    @property
    def participant(self) -> Named:
        """Who executes the command."""
        ...


class Binding(NamedTuple):
    """A handler, understood."""

    command: type[Any]
    function: Callable[..., Any]
    results: tuple[type, ...]
    failures: tuple[type, ...]
    extras: tuple[type, ...]
    """What the function takes after the command."""

    @property
    def name(self) -> str:
        """The command's name, as it travels."""
        return self.command.__name__

    @property
    def inside(self) -> type | None:
        """The ledger's handle that it works on, if all its effects are inside the ledger."""
        return next((extra for extra in self.extras if extra is not Operation), None)

    @property
    def declared(self) -> str:
        """For people: what it may return."""
        return " | ".join(kind.__name__ for kind in self.results + self.failures)


EXTRAS: tuple[type, ...] = (Operation, Transaction, sqlite3.Connection)
"""What a handler may take besides the command, each at most once, told apart by annotation."""


def bind(handlers: Iterable[AnyHandler]) -> Mapping[str, Binding]:
    """Read handlers, by command name. Raises ConfigurationError with every mistake, and its cure."""
    bindings: dict[str, Binding] = {}
    problems: list[str] = []
    for handler in handlers:
        found = _binding(handler)
        if isinstance(found, str):
            problems.append(found)
        elif found.name in bindings:
            problems.append(f"{found.name} has two handlers. Cure: keep one")
        else:
            bindings[found.name] = found
    inside = {found.inside: found.name for found in bindings.values() if found.inside}
    if len(inside) > 1:
        names = ", ".join(f"{name} takes {kind.__name__}" for kind, name in inside.items())
        problems.append(f"one participant has one ledger, but {names}. Cure: use one of them")
    if problems:
        raise ConfigurationError("handlers cannot be used:\n" + "\n".join(problems))
    return bindings


def ledger_kind(bindings: Mapping[str, Binding]) -> str | None:
    """Say which ledger the handlers ask for: `rocksdb`, `sqlite`, or None if any will do."""
    inside = {found.inside for found in bindings.values()}
    if sqlite3.Connection in inside:
        return "sqlite"
    return "rocksdb" if Transaction in inside else None


def _binding(handler: AnyHandler) -> Binding | str:
    name = getattr(handler.function, "__qualname__", repr(handler.function))
    result, failures = kinds.answers_of(handler.command)
    results = kinds.members(result)
    if len(results) != 1 or result is Any:
        return f"{handler.command.__name__} must declare one result. Cure: Command[Result, A | B]"
    hints = call(typing.get_type_hints, handler.function)
    if isinstance(hints, Raised):
        return f"{name}: its annotations cannot be read: {hints.summary}"
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(handler.function).parameters.values()
    if any(parameter.kind not in positional for parameter in parameters):
        return f"{name}: every parameter must be positional"
    names = [parameter.name for parameter in parameters]
    if not names or hints.get(names[0]) is not handler.command:
        return f"{name}: its first parameter must be a {handler.command.__name__}"
    extras = tuple(hints.get(extra) for extra in names[1:])
    for extra, kind in zip(names[1:], extras, strict=True):
        if kind not in EXTRAS or extras.count(kind) > 1:
            return (
                f"{name}: parameter {extra} cannot be filled. Cure: annotate it as one of"
                f" {', '.join(allowed.__name__ for allowed in EXTRAS)}, each at most once"
            )
    kept = tuple(kind for kind in extras if kind is not None)
    return Binding(handler.command, handler.function, results, failures, kept)
