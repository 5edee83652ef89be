"""The definitions a worker knows, by name and version."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from orchestrator.core.definition import Definition
from orchestrator.core.state import SagaState
from orchestrator.errors import ConfigurationError


class Known(NamedTuple):
    """A definition, and what the worker must know about its start payload."""

    definition: Definition
    accept: Callable[[bytes], bytes]
    """A start payload from outside, in Avro or JSON, to its encoding. Raises DecodeError."""
    accept_result: Callable[[str, bytes], bytes]
    """The same for a result, given by a person, of the step of that id."""


class Catalog:
    """Every definition of the program. A name may have several versions: old sagas finish on theirs.

    Raises ConfigurationError for two definitions of one name and version.
    """

    def __init__(self, known: Iterable[Known]) -> None:
        self._by_version: dict[tuple[str, int], Known] = {}
        self._newest: dict[str, Known] = {}
        for one in known:
            name, version = one.definition.name, one.definition.version
            if (name, version) in self._by_version:
                raise ConfigurationError(f"saga {name} version {version} is defined twice")
            self._by_version[name, version] = one
            before = self._newest.get(name)
            if before is None or before.definition.version < version:
                self._newest[name] = one

    def find(self, name: str, version: int) -> Known | None:
        """The definition that a start command asks for; version 0: the newest."""
        return self._by_version.get((name, version)) if version else self._newest.get(name)

    def of(self, state: SagaState) -> Known | None:
        """The definition that a saga runs on; None if this program has no such version.

        One whose fingerprint differs from the one that the saga started with is none.
        """
        known = self._by_version.get((state.definition, state.version))
        if known is None or known.definition.fingerprint != state.fingerprint:
            return None
        return known

    def missing(self, state: SagaState) -> tuple[str, str]:
        """Why `of` gave None: reason and text."""
        if (state.definition, state.version) in self._by_version:
            return "definition_changed", (
                f"{state.definition} version {state.version} is not the one this saga started with:"
                " give the changed definition a new version and keep the old one beside it"
            )
        return "definition_missing", (
            f"this worker has no {state.definition} version {state.version}, on which the saga runs;"
            f" it has {self.text}. Deploy that version again, then redrive"
        )

    def unknown(self, name: str, version: int) -> tuple[str, str]:
        """Why `find` gave None: reason and text."""
        if name in self._newest:
            return "unknown_version", f"no version {version} of {name}; known: {self.text}"
        return "unknown_definition", f"no saga {name!r}; known: {self.text}"

    @property
    def text(self) -> str:
        """What is known, for people: `book_trip 1, book_trip 2, transfer_money 1`."""
        return (
            ", ".join(f"{name} {version}" for name, version in sorted(self._by_version)) or "none"
        )

    @property
    def participants(self) -> tuple[str, ...]:
        """Everyone who executes a step of any definition, sorted."""
        found = {p for known in self._by_version.values() for p in known.definition.participants}
        return tuple(sorted(found))
