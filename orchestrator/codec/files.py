"""Schemas as files: written, locked, and checked against the code.

A directory holds `<Name>.avsc` for each payload, `<Name>.<fingerprint>.avsc` for each of its earlier
versions, and `fingerprints.lock`. Earlier versions stay: whatever they wrote can still be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.codec import compatibility
from orchestrator.codec.avro import Schema
from orchestrator.codec.derive import schema_of
from orchestrator.codec.kinds import Problem, Record, kind_of
from orchestrator.errors import ConfigurationError, DefinitionError

LOCK = "fingerprints.lock"
_LOCK_HEAD = "# Fingerprint (CRC-64-AVRO) of every schema here. Written by `saga schemas`.\n"
_CURE = "Cure: run `saga schemas`, and commit what it writes."


class Report(NamedTuple):
    """What `write` did, as file names."""

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    retired: tuple[str, ...]
    """Earlier versions that were kept under a name of their own."""


def read(directory: Path) -> tuple[Schema, ...]:
    """Read every schema of a directory, those of earlier versions too. No directory: none.

    Raises:
        ConfigurationError: A file is no schema, or differs from the lock.
    """
    found = {path.name: _load(path) for path in sorted(directory.glob("*.avsc"))}
    problems = _lock_problems(directory, found)
    if problems:
        raise ConfigurationError(f"{directory}: {problems[0]}")
    return tuple(found.values())


def write(kinds: Iterable[Any], directory: Path) -> Report:
    """Write the schemas of payload types; keep a version that changed under its fingerprint.

    Raises:
        DefinitionError: A type cannot travel, two differ under one name, or one can no longer read
            what an earlier version wrote. Nothing is written then.
        ConfigurationError: A file is no schema, or differs from the lock.
    """
    known = read(directory)
    schemas, problems = _derive(kinds)
    problems += _compatibility_problems(schemas, known)
    if problems:
        raise DefinitionError(tuple(problems))
    directory.mkdir(parents=True, exist_ok=True)
    written, unchanged, retired = [], [], []
    for schema in schemas:
        path = directory / f"{schema.name}.avsc"
        if path.exists() and path.read_text("utf-8") == schema.text():
            unchanged.append(path.name)
            continue
        before = _load(path) if path.exists() else schema
        if before != schema:
            kept = path.with_name(f"{before.name}.{before.fingerprint}.avsc")
            path.rename(kept)
            retired.append(kept.name)
        path.write_text(schema.text(), "utf-8")
        written.append(path.name)
    lock(directory)
    return Report(tuple(written), tuple(unchanged), tuple(retired))


def check(kinds: Iterable[Any], directory: Path) -> tuple[Problem, ...]:
    """Say what differs between types and files, and what can no longer be read. Empty: nothing."""
    try:
        known = read(directory)
    except ConfigurationError as error:
        return (Problem(str(directory), str(error)),)
    schemas, problems = _derive(kinds)
    for schema in schemas:
        path = directory / f"{schema.name}.avsc"
        if not path.exists():
            problems.append(Problem(schema.name, f"has no file {path}. {_CURE}"))
        elif path.read_text("utf-8") != schema.text():
            problems.append(Problem(schema.name, f"differs from {path}. {_CURE}"))
    return (*problems, *_compatibility_problems(schemas, known))


def lock(directory: Path) -> None:
    """Write the lock of a directory from its files."""
    lines = [
        f"{_load(path).fingerprint} {path.name}\n" for path in sorted(directory.glob("*.avsc"))
    ]
    (directory / LOCK).write_text(_LOCK_HEAD + "".join(lines), "utf-8")


def _load(path: Path) -> Schema:
    try:
        return Schema(json.loads(path.read_text("utf-8")))
    except ValueError as error:
        raise ConfigurationError(f"{path} is no JSON: {error}") from error


def _lock_problems(directory: Path, found: dict[str, Schema]) -> list[str]:
    path = directory / LOCK
    text = path.read_text("utf-8") if path.exists() else ""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    locked = {name: fingerprint for fingerprint, _, name in (x.partition(" ") for x in lines)}
    names = sorted(locked.keys() | found.keys())
    return [
        f"{name} is {_say(found.get(name))}, the lock has {locked.get(name, 'none')}. {_CURE}"
        for name in names
        if name not in found or found[name].fingerprint != locked.get(name)
    ]


def _say(schema: Schema | None) -> str:
    return "missing" if schema is None else schema.fingerprint


def _derive(kinds: Iterable[Any]) -> tuple[list[Schema], list[Problem]]:
    schemas: dict[str, Schema] = {}
    problems: list[Problem] = []
    for kind in kinds:
        try:
            if not isinstance(kind_of(kind), Record):
                continue
            schema = Schema(schema_of(kind))
        except DefinitionError as error:
            problems += [p for p in error.problems if isinstance(p, Problem)]
            continue
        if schemas.setdefault(schema.name, schema) != schema:
            problems.append(Problem(schema.name, "two payloads have this name and differ"))
    return [schemas[name] for name in sorted(schemas)], problems


def _compatibility_problems(schemas: Iterable[Schema], known: Iterable[Schema]) -> list[Problem]:
    newest = {schema.name: schema for schema in schemas}
    return [
        Problem(old.name, f"{text} (version {old.fingerprint})")
        for old in known
        if old.name in newest and old != newest[old.name]
        for text in compatibility.problems(newest[old.name], old)
    ]
