"""SG405 and SG5xx: the declarations."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeAlias

from orchestrator.core.ids import is_id
from orchestrator.definition import durations, kinds
from orchestrator.definition.looking import (
    Problems,
    commands_of,
    is_payload,
    payloads_of,
    specs_of,
    undos_of,
)
from orchestrator.definition.payload import Payload, participant_of
from orchestrator.definition.plan import Sketch
from orchestrator.definition.problem import Problem, place_of

STEP_ID_LENGTH_MAX = 256
PARAMETERS_MAX = 8


def sg405(sketch: Sketch) -> Problems:
    """A version that follows what it cannot."""
    spec, older = sketch.spec, sketch.spec.follows
    if older is None:
        return
    if older.id != spec.id:
        text = f"`{spec.id}` v{spec.version} follows `{older.id}`, which is another saga"
        yield Problem("SG405", spec.place, text, f'`@saga(id="{spec.id}", ...)` at the older one')
    if older.version >= spec.version:
        text = f"`{spec.id}` v{spec.version} follows v{older.version}"
        yield Problem("SG405", spec.place, text, f"`version={older.version + 1}`")


def sg501(sketch: Sketch) -> Problems:
    """A payload or a derived value that cannot be encoded."""
    for payload in payloads_of(sketch):
        for text, cure in _unfit(payload):
            yield Problem("SG501", payload.__declared__, text, cure)
    for function, gives in sketch.drawing.derived.items():
        if gives is not Any and not all(map(kinds.may_travel, kinds.present(gives))):
            text = f"`{function.__name__}` gives `{kinds.say(gives)}`, which cannot be encoded"
            yield Problem("SG501", place_of(function), text, FIELD_CURE)


FIELD_CURE = (
    "`str`, `int`, `bool`, `float`, `bytes`, a `Payload`, a `StrEnum`, `tuple[X, ...]`, "
    "`dict[str, X]` or `X | None`"
)


def _unfit(payload: type[Payload]) -> Iterator[tuple[str, str]]:
    name, (found, troubles) = payload.__name__, kinds.fields_of(payload)
    for trouble in troubles:
        text = f"the fields of `{name}` cannot be read: their annotations raise `{trouble}`"
        yield text, "define the types at module level and import them at run time"
    inside = [part.__name__ for part in kinds.payloads_in(payload)]
    for twice in dict.fromkeys(part for part in inside if inside.count(part) > 1):
        yield f"`{name}` holds two classes called `{twice}`", "rename one of them"
    for word in (name, *found):
        if not word.isascii():
            text = f"`{word}` in `{name}` is no name that other languages can read"
            yield text, "letters, digits and `_`"
    for field, kind in found.items():
        if not kinds.may_travel(kind):
            yield f"`{name}.{field}` is `{kinds.say(kind)}`, which cannot be encoded", FIELD_CURE
        if payload in kinds.payloads_in(kind):
            text = f"`{name}.{field}` holds a `{name}` again, which cannot be encoded"
            yield text, "a flat `tuple[X, ...]` with keys"


def sg502(sketch: Sketch) -> Problems:
    """Annotations that cannot be read."""
    for function, signature in _signatures(sketch):
        if signature.trouble:
            text = f"`{function.__name__}` cannot be read: {signature.trouble}"
            yield Problem("SG502", place_of(function), text, signature.cure)
    for function, signature in _plans(sketch):
        expected = ("Flow", *["Later[...]"] * (len(signature.takes) - 1))
        for name, kind, want in zip(signature.names, signature.takes, expected, strict=False):
            is_called = getattr(typing.get_origin(kind) or kind, "__name__", "")
            unread = kind is Any and signature.trouble
            if is_called != want.removesuffix("[...]") and not unread:
                text = f"`{function.__name__}` takes `{name}` as `{kinds.say(kind)}`"
                yield Problem("SG502", place_of(function), text, f"annotate it as `{want}`")


def sg503(sketch: Sketch) -> Problems:
    """A step or undo that gives no command."""
    for function, signature in _steps_and_undos(sketch):
        unread = signature.gives is Any and signature.trouble
        if not kinds.is_command(signature.gives) and not unread:
            text = f"`{function.__name__}` gives `{kinds.say(signature.gives)}`, no command"
            cure = "return a class of `Command[Result, Failure]`"
            yield Problem("SG503", place_of(function), text, cure)


def sg504(sketch: Sketch) -> Problems:
    """A wrong number of parameters."""
    spec = sketch.spec
    bounds = [(spec.function, spec.signature, 2, 2)]
    bounds += [(one.function, one.signature, 1, PARAMETERS_MAX) for one in specs_of(sketch)]
    bounds += [(undo.function, undo.signature, 1, 2) for _, undo in undos_of(sketch)]
    for function, signature, least, most in bounds:
        count = len(signature.takes)
        if not least <= count <= most:
            text = f"`{function.__name__}` has {count} parameters"
            wanted = str(least) if least == most else f"{least} to {most}"
            yield Problem("SG504", place_of(function), text, f"take {wanted}")


def sg505(sketch: Sketch) -> Problems:
    """A command whose answers are no payloads, and a saga whose outcome is none."""
    for command in commands_of(sketch):
        result, failures = kinds.answers_of(command)
        for what, kind in (("result", result), *(("failure", f) for f in failures)):
            if not is_payload(kind):
                text = f"the {what} of `{command.__name__}` is `{kinds.say(kind)}`, no payload"
                cure = "`Command[Result, Failure]`, each a class of `Payload`"
                yield Problem("SG505", command.__declared__, text, cure)
    spec = sketch.spec
    for what, kind in (("start payload", spec.takes), ("outcome", spec.gives)):
        present = kinds.present(kind)
        if kind is not Any and present and not (len(present) == 1 and is_payload(present[0])):
            text = f"the {what} of `{spec.id}` is `{kinds.say(kind)}`, not one payload class"
            yield Problem("SG505", spec.place, text, "a class of `Payload`")


def sg507(sketch: Sketch) -> Problems:
    """A name that ids and topics cannot carry."""
    spec = sketch.spec
    names = [("saga", spec.id, spec.place)]
    names += [("block", block.id, block.place) for block in sketch.drawing.blocks]
    names += [("step", step.id, step.place) for step in sketch.drawing.steps]
    for command in commands_of(sketch):
        names.append(("participant", participant_of(command).name, command.__declared__))
    for what, name, place in dict.fromkeys(names):
        if not all(map(is_id, name.split("."))) or len(name) > STEP_ID_LENGTH_MAX:
            text = f"the {what} `{name}` has a name that ids and topics cannot carry"
            yield Problem("SG507", place, text, "letters, digits, `_` and `-`; 128 at most")


def sg508(sketch: Sketch) -> Problems:
    """A duration or a count that makes no sense."""
    spec = sketch.spec
    if spec.version < 1:
        text = f"`{spec.id}` has version {spec.version}"
        yield Problem("SG508", spec.place, text, "count from 1")
    limits = [("deadline", spec.id, spec.deadline, spec.place)]
    limits.append(("keep", spec.id, spec.keep, spec.place))
    retries = []
    for step in specs_of(sketch):
        limits.append(("within", step.name, step.within, step.place))
        retries.append((step.name, step.retry, step.place))
    for _, undo in undos_of(sketch):
        name = undo.function.__name__
        limits.append(("within", name, undo.within, undo.place))
        retries.append((name, undo.retry, undo.place))
    for word, name, limit, place in limits:
        if limit < timedelta(milliseconds=1):
            text = f"`{word}` of `{name}` is {durations.say(limit)}"
            yield Problem("SG508", place, text, "at least a millisecond")
    for name, retry, place in retries:
        for trouble in () if retry is None else retry.troubles:
            yield Problem("SG508", place, f"in the `retry` of `{name}` {trouble}", "mend it")


Signed: TypeAlias = tuple[Callable[..., Any], kinds.Signature]


def _signatures(sketch: Sketch) -> Iterator[Signed]:
    yield from _plans(sketch)
    yield from _steps_and_undos(sketch)
    for function in sketch.drawing.derived:
        yield function, kinds.signature_of(function)


def _steps_and_undos(sketch: Sketch) -> Iterator[Signed]:
    for spec in specs_of(sketch):
        yield spec.function, spec.signature
    for _, undo in undos_of(sketch):
        yield undo.function, undo.signature


def _plans(sketch: Sketch) -> Iterator[Signed]:
    yield sketch.spec.function, sketch.spec.signature
    for function in dict.fromkeys(block.spec.function for block in sketch.drawing.blocks):
        yield function, kinds.signature_of(function)


CHECKS = (sg405, sg501, sg502, sg503, sg504, sg505, sg507, sg508)
