"""`saga.lock`: what released versions look like, so that a change under running sagas is loud.

Ids are written into the log, and an open saga goes on with the definition that it started with. The
lock file is committed; `saga lock` writes it, `saga check` compares.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.definition import syntax
from orchestrator.definition.check import errors_in
from orchestrator.definition.looking import pure_functions_of
from orchestrator.definition.problem import Place, Problem, Severity
from orchestrator.definition.saga import Saga
from orchestrator.definition.shape import shape_of
from orchestrator.errors import DefinitionError

FILE_NAME = "saga.lock"
FORMAT = 1
LOCK_PLACE = Place(FILE_NAME, 1)
Key = tuple[str, int]


class Locked(NamedTuple):
    """One version of one saga, as it was when it was locked."""

    fingerprint: str
    """Of shape and policies, 16 hexadecimal digits."""
    steps: tuple[str, ...]
    """The ids that are written into the log."""
    shape: tuple[str, ...]
    """What the fingerprint is over, for people."""
    bodies: Mapping[str, str]
    """By the name of a step, compensation or derived value: a digest of its function's text."""


def locked(saga: Saga[Any, Any]) -> Locked:
    """Describe a saga as the lock file does. Raises DefinitionError if it has mistakes."""
    tree = saga.build()
    steps = tuple(step.id for step in tree.steps)
    return Locked(f"{tree.fingerprint % 2**64:016x}", steps, shape_of(tree), _bodies(saga))


def lock_text(sagas: Iterable[Saga[Any, Any]]) -> str:
    """Give the text of a lock file over these sagas, in an order of its own."""
    entries: dict[str, dict[str, Any]] = {}
    for saga in sorted(sagas, key=lambda one: (one.id, one.version)):
        entries.setdefault(saga.id, {})[str(saga.version)] = locked(saga)._asdict()
    return json.dumps({"format": FORMAT, "sagas": entries}, indent=2, sort_keys=True) + "\n"


def write_lock(path: Path, sagas: Iterable[Saga[Any, Any]]) -> None:
    """Write the lock file. Raises DefinitionError if a saga has mistakes."""
    text = lock_text(sagas)
    path.write_text(text, encoding="utf-8")


def read_lock(path: Path) -> Mapping[Key, Locked]:
    """Read a lock file. Raises DefinitionError (SG400) if it is none."""
    try:
        return dict(_entries(json.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise _unread(path, f"the lock file cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unread(path, "this is no lock file of this version") from error


def compare(
    known: Mapping[Key, Locked],
    sagas: Iterable[Saga[Any, Any]],
    *,
    in_flight: Mapping[Key, int] | None = None,
    lock_place: Place = LOCK_PLACE,
) -> tuple[Problem, ...]:
    """Compare sagas with a lock file's content; `in_flight` counts the open sagas, if known.

    A saga with mistakes of its own is compared as far as it could be drawn.
    """
    present = {(saga.id, saga.version): saga for saga in sagas}
    found: list[Problem] = []
    for key, saga in present.items():
        if key in known:
            found += _compare_one(saga, known[key])
    for key in known.keys() - present.keys():
        found += _gone(key, lock_place, in_flight)
    return tuple(sorted(found, key=lambda problem: (problem.place, problem.code)))


def _unread(path: Path, text: str) -> DefinitionError:
    place = Place(str(path), 1)
    return DefinitionError((Problem("SG400", place, text, "write it anew: `saga lock`"),))


def _compare_one(saga: Saga[Any, Any], old: Locked) -> Iterator[Problem]:
    drawing, built = saga.sketch().drawing, not errors_in(saga.problems())
    steps = tuple(step.id for step in drawing.steps)
    # What a drawing ran into may have kept a step out of it: that one is not lost.
    if built or (saga.sketch().whole and not drawing.told):
        yield from _lost_steps(saga, old, steps)
    if built:
        yield from _changed_shape(saga, old, locked(saga))
    place, version = saga.spec.place, saga.version + 1
    bodies = _bodies(saga)
    for body in old.bodies.keys() & bodies.keys():
        if old.bodies[body] != bodies[body]:
            text = (
                f"the body of `{body}` changed under v{saga.version}: "
                "open sagas will run the new one"
            )
            cure = f"`version={version}` if they must not, else `saga lock`"
            yield Problem("SG404", place, text, cure, Severity.WARNING)


def _lost_steps(saga: Saga[Any, Any], old: Locked, steps: tuple[str, ...]) -> Iterator[Problem]:
    lost, instead = _differing(old.steps, steps), _differing(steps, old.steps)
    for number, step in enumerate(lost):
        has = f"has `{instead[number]}` instead" if number < len(instead) else "has it no more"
        name, id_ = f"{saga.id} v{saga.version}", step.rpartition(".")[2]
        text = f"{FILE_NAME} knows step `{step}` of {name}; the code {has}"
        cure = (
            f'`@step(id="{id_}", ...)` if it was only renamed, else `version={saga.version + 1}`'
        )
        yield Problem("SG401", saga.spec.place, text, cure)


def _changed_shape(saga: Saga[Any, Any], old: Locked, new: Locked) -> Iterator[Problem]:
    lost, instead = _differing(old.steps, new.steps), _differing(new.steps, old.steps)
    if lost and len(lost) == len(instead):
        # Each may only have been renamed: what else has changed?
        new = _renamed(new, dict(zip(instead, lost, strict=True)))
        changed = new.shape != old.shape
    else:
        changed = not lost and new.fingerprint != old.fingerprint
    if changed:
        version, name = saga.version + 1, f"{saga.id} v{saga.version}"
        text = f"{name} has changed its shape since it was released"
        cure = (
            f'keep the released function under another name with `id="{saga.id}"`, and make this '
            f"one `version={version}, follows=` it. The difference:\n{_diff(old, new)}"
        )
        yield Problem("SG402", saga.spec.place, text, cure)


def _differing(steps: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    return [step for step in steps if step not in others]


def _renamed(new: Locked, names: Mapping[str, str]) -> Locked:
    word = re.compile(r"[\w.-]+")
    shape = tuple(word.sub(lambda found: names.get(found[0], found[0]), s) for s in new.shape)
    return new._replace(shape=shape)


def _gone(key: Key, place: Place, in_flight: Mapping[Key, int] | None) -> Iterator[Problem]:
    name, version = key
    if in_flight is None:
        text = f"{name} v{version} is locked and is not in this program"
        cure = "keep it while sagas of it are in flight, then `saga lock`"
        yield Problem("SG403", place, text, cure, Severity.WARNING)
    elif in_flight.get(key, 0):
        text = (
            f"{name} v{version} still has {in_flight[key]} sagas in flight "
            "and is not in this program"
        )
        yield Problem("SG403", place, text, "keep it")


def _diff(old: Locked, new: Locked) -> str:
    lines = difflib.unified_diff(old.shape, new.shape, lineterm="", n=1)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _entries(found: Any) -> Iterator[tuple[Key, Locked]]:
    if found["format"] != FORMAT:
        raise ValueError(found["format"])
    for name, versions in found["sagas"].items():
        for version, entry in versions.items():
            locked_ = Locked(
                entry["fingerprint"], tuple(entry["steps"]), tuple(entry["shape"]), entry["bodies"]
            )
            yield (name, int(version)), locked_


def _bodies(saga: Saga[Any, Any]) -> dict[str, str]:
    functions = pure_functions_of(saga.sketch())
    texts = {function.__name__: syntax.body_of(function) for function in functions}
    return {
        name: blake2b(text.encode(), digest_size=8).hexdigest()
        for name, text in sorted(texts.items())
        if text is not None
    }
