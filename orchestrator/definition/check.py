"""What the build refuses: one function per code, in a table.

Each function looks at a drawn plan and gives the problems it finds; none of them raises. The texts
follow one pattern: a sentence that names both sides, and a cure that can be typed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from itertools import chain
from typing import Any, TypeAlias

from orchestrator.core.ids import is_id
from orchestrator.definition import durations, kinds, syntax
from orchestrator.definition.declared import StepSpec
from orchestrator.definition.drawing import (
    BlockMark,
    ChooseMark,
    Mark,
    ParallelMark,
    Read,
    Scope,
    StepMark,
    Use,
)
from orchestrator.definition.payload import Command, Payload, participant_of
from orchestrator.definition.plan import SagaSpec, Sketch
from orchestrator.definition.problem import Place, Problem, Severity

STEP_ID_LENGTH_MAX = 256
PARAMETERS_MAX = 8
Problems: TypeAlias = Iterator[Problem]


def problems_in(*sketches: Sketch) -> tuple[Problem, ...]:
    """Give every problem of these definitions, each once, in the order of the text."""
    found = chain.from_iterable(_problems_of(sketch) for sketch in sketches)
    both = dict.fromkeys([*found, *sg110(sketches), *sg111(sketches)])
    return tuple(sorted(both, key=lambda problem: (problem.place, problem.code)))


def errors_in(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Leave the warnings out."""
    return tuple(problem for problem in problems if problem.severity is Severity.ERROR)


def _problems_of(sketch: Sketch) -> Problems:
    found = [problem for look in CHECKS.values() for problem in look(sketch)]
    # What ended the drawing is often the consequence of a statement that is reported already.
    told = {problem.place for problem in found if problem.code in {"SG301", "SG302"}}
    yield from found
    yield from (problem for problem in sketch.stopped if problem.place not in told)


# --- the shape ----------------------------------------------------------------------------------


def sg001(sketch: Sketch) -> Problems:
    """A verb that the engine does not run yet."""
    for what, place, cure in sketch.drawing.unsupported:
        yield Problem("SG001", place, f"{what} is not supported yet by the engine", cure)


def sg101(sketch: Sketch) -> Problems:
    """No way back before the pivot."""
    for step in _before_pivot(sketch):
        spec = step.spec
        if spec.undo is None and not spec.irreversible:
            text = f"`{step.id}` runs before the pivot and has no undo"
            cure = f"`@{spec.function.__name__}.undo(...)`, or `irreversible=True`"
            yield Problem("SG101", step.place, text, cure)


def sg102(sketch: Sketch) -> Problems:
    """Irreversible, and yet an undo."""
    for spec in _specs(sketch):
        if spec.irreversible and spec.undo is not None:
            text = f"`{spec.name}` is irreversible but has an undo"
            yield Problem("SG102", spec.place, text, "keep one")


def sg103(sketch: Sketch) -> Problems:
    """Two places of one name. Of two blocks only the blocks are reported, not all their steps."""
    seen: dict[str, Place] = {}
    twice: set[str] = set()
    marks: list[BlockMark | StepMark] = [*sketch.drawing.blocks, *sketch.drawing.steps]
    for mark in marks:
        parent = mark.id.rpartition(".")[0]
        if parent in twice:
            twice.add(mark.id)
            continue
        first = seen.setdefault(mark.id, mark.place)
        if first is not mark.place:
            twice.add(mark.id)
            name = mark.spec.function.__name__
            text = f"two places are called `{mark.id}` (the other: {first})"
            yield Problem("SG103", mark.place, text, f'`{name}.named("another_name")` at one')


def sg104(sketch: Sketch) -> Problems:
    """A second undo."""
    for spec in _specs(sketch):
        for place in spec.undone_again:
            first = spec.undo.place if spec.undo is not None else spec.place
            text = f"`{spec.name}` already has an undo ({first})"
            yield Problem("SG104", place, text, "keep one")


def sg105(sketch: Sketch) -> Problems:
    """More than one pivot, or one that is not a step of the outer sequence."""
    drawing = sketch.drawing
    for number, pivot in enumerate(drawing.pivots):
        if number:
            lines = f"lines {drawing.pivots[0].place.line} and {pivot.place.line}"
            text = f"`{sketch.spec.id}` has two pivots ({lines})"
            yield Problem("SG105", pivot.place, text, "one, in the outer sequence")
        elif pivot.scope is not drawing.root:
            text = f"the pivot `{pivot.planned.name}` lies inside a block or branch"
            yield Problem("SG105", pivot.place, text, "one, in the outer sequence")
        elif pivot.mark is not None and not isinstance(pivot.mark, StepMark):
            text = f"the pivot `{pivot.planned.name}` is not a single step"
            cure = "make the step of no return the pivot, between two blocks"
            yield Problem("SG105", pivot.place, text, cure)


def sg106(sketch: Sketch) -> Problems:
    """A declared failure where there is no way back."""
    for step in _after_pivot(sketch):
        for failure in _answers(step.spec)[1]:
            text = (
                f"`{step.id}` runs after the pivot but its command declares the failure "
                f"`{kinds.say(failure)}`: it would leave the saga stuck"
            )
            cure = "move it before the pivot, or give it a command that cannot be declined"
            yield Problem("SG106", step.place, text, cure)


def sg107(sketch: Sketch) -> Problems:
    """The time limits of the steps against the saga's own: those that the deadline can still stop."""
    total, spec = _longest(sketch, sketch.drawing.root), sketch.spec
    if total > spec.deadline:
        text = (
            f"the steps' own time limits add up to {durations.say(total)}, "
            f"the saga's deadline is {durations.say(spec.deadline)}"
        )
        yield Problem("SG107", spec.place, text, "raise the deadline", Severity.WARNING)


def sg108(sketch: Sketch) -> Problems:
    """A fan-out without a bound."""
    for place in sketch.drawing.unbounded:
        yield Problem("SG108", place, "a fan-out in `each` has no bound", "`at_most=`")


def sg110(sketches: Iterable[Sketch]) -> Problems:
    """Two sagas of one id and version."""
    seen: dict[tuple[str, int], SagaSpec] = {}
    for spec in dict.fromkeys(sketch.spec for sketch in sketches):
        first = seen.setdefault((spec.id, spec.version), spec)
        if first is not spec:
            text = f"`{spec.id}` v{spec.version} is defined twice (the other: {first.place})"
            cure = "another `version=` or `id=` at one"
            yield Problem("SG110", spec.place, text, cure)


def sg111(sketches: Iterable[Sketch]) -> Problems:
    """Two command classes that a participant could not tell apart."""
    seen: dict[tuple[str, str], type[Command[Any, Any]]] = {}
    for command in dict.fromkeys(chain.from_iterable(_commands(sketch) for sketch in sketches)):
        name = participant_of(command).name
        first = seen.setdefault((name, command.__name__), command)
        if first is not command:
            text = (
                f"two commands to `{name}` are called `{command.__name__}` "
                f"(the other: {first.__declared__})"
            )
            yield Problem("SG111", command.__declared__, text, "rename one of the classes")


# --- who reads what -----------------------------------------------------------------------------


def sg201(sketch: Sketch) -> Problems:
    """A value of the wrong type."""
    for use, read in _judged(sketch):
        made, want = read.made, read.want
        if kinds.fits(made.kind, want) or _may_be_none(read):
            continue
        verb = "returns" if use.returning else "reads"
        text = (
            f"`{use.reader}` {verb} `{read.name}` as `{kinds.say(want)}`; "
            f"it is `{kinds.say(made.kind)}` (made at line {made.place.line})"
        )
        yield Problem("SG201", use.place, text, "hand on the value that is asked for")


def sg202(sketch: Sketch) -> Problems:
    """A value that may be missing."""
    for use, read in _judged(sketch):
        if not _may_be_none(read):
            continue
        want, made = kinds.say(read.want), read.made
        verb, place = made.maybe or ("when", made.place)
        text = (
            f"`{use.reader}` {'promises' if use.returning else 'wants'} `{want}`, "
            f"but `{read.name}` may be None (`{verb}`, line {place.line})"
        )
        cure = f"accept `{want} | None`, or move `{use.reader}` into the same block"
        if use.returning:
            cure = f"promise `{want} | None`, or return what is always there"
        yield Problem("SG202", use.place, text, cure)


def sg203(sketch: Sketch) -> Problems:
    """A compensation that does not take what it will be given."""
    for spec in _specs(sketch):
        undo, command = spec.undo, spec.signature.gives
        if undo is None or undo.signature.trouble or not undo.signature.takes:
            continue
        name, (wanted, *rest) = undo.function.__name__, undo.signature.takes
        if not kinds.fits(command, wanted):
            text = (
                f"`{name}` undoes `{kinds.say(wanted)}`; "
                f"`{spec.name}` sends `{kinds.say(command)}`"
            )
            cure = f"take a `{kinds.say(command)}`"
            yield Problem("SG203", undo.place, text, cure)
        for want in rest[:1]:
            if not kinds.fits(kinds.NONE, want):
                text = (
                    f"`{name}` wants `{kinds.say(want)}`; it gets None when the outcome is unknown"
                )
                yield Problem("SG203", undo.place, text, f"`{kinds.say(want)} | None`")
            elif not kinds.fits(spec.result, want):
                text = (
                    f"`{name}` wants `{kinds.say(want)}`; "
                    f"`{spec.name}` results in `{kinds.say(spec.result)}`"
                )
                yield Problem("SG203", undo.place, text, f"`{kinds.say(spec.result)} | None`")


def sg204(sketch: Sketch) -> Problems:
    """A value of the inside of a block, read outside."""
    for use, read in _reads(sketch):
        scope = use.scope
        if scope is not None and read.unplaced is None and not scope.sees(read.made.scope):
            text = (
                f"`{use.reader}` reads `{read.name}`, which lives in a block that may not have run"
            )
            yield Problem("SG204", use.place, text, "return it from its block")


def sg205(sketch: Sketch) -> Problems:
    """A call without effect. Held back when the plan did not reach its end."""
    if sketch.stopped:
        return
    read = {read.unplaced for use in sketch.drawing.uses for read in use.reads}
    for call in sketch.drawing.calls:
        # A call that was handed on instead of its result is SG208 already.
        if not call.placed and call not in read:
            arguments = ", ".join(r.name for r in call.use.reads)
            text = f"`{call.name}` was called but never placed"
            yield Problem("SG205", call.use.place, text, f"`flow.do({call.name}({arguments}))`")


def sg206(sketch: Sketch) -> Problems:
    """One call, placed twice."""
    for call in sketch.drawing.calls:
        for place in call.placed[1:]:
            text = f"`{call.name}(...)` of line {call.use.place.line} is placed twice"
            yield Problem("SG206", place, text, "call it again")


def sg207(sketch: Sketch) -> Problems:
    """A value of another saga."""
    for use in sketch.drawing.uses:
        for read in use.reads:
            if read.made.drawing is not sketch.drawing:
                text = f"a value of `{read.made.drawing.saga}` is used in `{sketch.spec.id}`"
                yield Problem("SG207", use.place, text, "read values of the same plan only")


def sg208(sketch: Sketch) -> Problems:
    """A call in the place of its result."""
    for use in sketch.drawing.uses:
        for read in use.reads:
            call = read.unplaced
            if call is not None:
                arguments = ", ".join(r.name for r in call.use.reads)
                text = f"`{use.reader}` reads `{read.name}`, a Call that has not been placed"
                cure = f"`{read.name} = flow.do({call.name}({arguments}))`"
                yield Problem("SG208", use.place, text, cure)


def sg211(sketch: Sketch) -> Problems:
    """Two values of one payload class: swapped, they would go unseen."""
    for call in sketch.drawing.calls:
        given = [kinds.present(read.made.kind) for read in call.use.reads]
        payloads = [k[0] for k in given if len(k) == 1 and _is_payload(k[0])]
        for kind in dict.fromkeys(k for k in payloads if payloads.count(k) > 1):
            text = (
                f"`{call.name}` is given two values of `{kinds.say(kind)}`: they could be swapped"
            )
            cure = "a payload class for each"
            yield Problem("SG211", call.use.place, text, cure, Severity.WARNING)


# --- the text of the plan -----------------------------------------------------------------------


def sg301(sketch: Sketch) -> Problems:
    """A decision that would be taken once, when the plan is drawn."""
    for place, banned in _banned(sketch):
        if not banned.loops:
            text = f"`{banned.word}` in a plan is decided once, when the plan is drawn"
            cure = "`flow.when`, `flow.choose` or a `@derive` function"
            yield Problem("SG301", place, text, cure)


def sg302(sketch: Sketch) -> Problems:
    """A loop that would run once, when the plan is drawn."""
    for place, banned in _banned(sketch):
        if banned.loops:
            text = "`for` in a plan runs once, when the plan is drawn"
            yield Problem("SG302", place, text, "`flow.each(...)`")


def sg304(sketch: Sketch) -> Problems:
    """No text to look at."""
    for function, place in _drawn_functions(sketch).items():
        if syntax.source_of(function) is None:
            text = (
                f"the source of `{function.__name__}` is not at hand, "
                "so an `if` or `for` in it cannot be seen"
            )
            cure = "run `saga check` where the source is"
            yield Problem("SG304", place, text, cure, Severity.WARNING)


# --- the declarations ---------------------------------------------------------------------------


def sg501(sketch: Sketch) -> Problems:
    """A payload that cannot be encoded."""
    for payload in dict.fromkeys(chain.from_iterable(map(kinds.payloads_in, _travelling(sketch)))):
        name, place = payload.__name__, payload.__declared__
        found = kinds.field_kinds(payload)
        if isinstance(found, str):
            text = f"the fields of `{name}` cannot be read: their annotations raise `{found}`"
            cure = "define the types at module level and import them at run time"
            yield Problem("SG501", place, text, cure)
            continue
        for field, kind in found.items():
            if not kinds.may_travel(kind):
                text = f"`{name}.{field}` is `{kinds.say(kind)}`, which cannot be encoded"
                yield Problem("SG501", place, text, FIELD_CURE)
            elif not field.isascii():
                text = f"`{name}.{field}` is no name that other languages can read"
                yield Problem("SG501", place, text, "use letters, digits and `_`")
    for function, gives in sketch.drawing.derived.items():
        if not all(map(kinds.may_travel, kinds.present(gives))):
            text = f"`{function.__name__}` gives `{kinds.say(gives)}`, which cannot be encoded"
            yield Problem("SG501", _place(function), text, FIELD_CURE)


FIELD_CURE = (
    "`str`, `int`, `bool`, `float`, `bytes`, a `Payload`, a `StrEnum`, `tuple[X, ...]`, "
    "`dict[str, X]` or `X | None`"
)


def sg502(sketch: Sketch) -> Problems:
    """Annotations that cannot be read."""
    for function, signature in _signatures(sketch):
        if signature.trouble:
            text = f"`{function.__name__}` cannot be read: {signature.trouble}"
            yield Problem("SG502", _place(function), text, signature.cure)


def sg503(sketch: Sketch) -> Problems:
    """A step or undo that gives no command."""
    for spec in _specs(sketch):
        pairs = [(spec.function, spec.signature)]
        if spec.undo is not None:
            pairs.append((spec.undo.function, spec.undo.signature))
        for function, signature in pairs:
            if not signature.trouble and not kinds.is_command(signature.gives):
                text = f"`{function.__name__}` gives `{kinds.say(signature.gives)}`, no command"
                cure = "return a class of `Command[Result, Failure]`"
                yield Problem("SG503", _place(function), text, cure)


def sg504(sketch: Sketch) -> Problems:
    """A wrong number of parameters."""
    spec = sketch.spec
    bounds = [(spec.function, spec.signature, 2, 2)]
    for step in _specs(sketch):
        bounds.append((step.function, step.signature, 1, PARAMETERS_MAX))
        if step.undo is not None:
            bounds.append((step.undo.function, step.undo.signature, 1, 2))
    for function, signature, least, most in bounds:
        count = len(signature.takes)
        if not signature.trouble and not least <= count <= most:
            text = f"`{function.__name__}` has {count} parameters"
            wanted = str(least) if least == most else f"{least} to {most}"
            yield Problem("SG504", _place(function), text, f"take {wanted}")


def sg505(sketch: Sketch) -> Problems:
    """A command whose answers are no payloads, and a saga whose outcome is none."""
    for command in _commands(sketch):
        result, failures = kinds.answers_of(command)
        for what, kind in (("result", result), *(("failure", f) for f in failures)):
            if not _is_payload(kind):
                text = f"the {what} of `{command.__name__}` is `{kinds.say(kind)}`, no payload"
                cure = "`Command[Result, Failure]`, each a class of `Payload`"
                yield Problem("SG505", command.__declared__, text, cure)
    spec = sketch.spec
    for what, kind in (("start payload", spec.takes), ("outcome", spec.gives)):
        present = kinds.present(kind)
        if kind is not Any and present and not (len(present) == 1 and _is_payload(present[0])):
            text = f"the {what} of `{spec.id}` is `{kinds.say(kind)}`, not one payload class"
            yield Problem("SG505", spec.place, text, "a class of `Payload`")


def sg507(sketch: Sketch) -> Problems:
    """A name that ids and topics cannot carry."""
    spec = sketch.spec
    names = [("saga", spec.id, spec.place)]
    names += [("block", block.id, block.place) for block in sketch.drawing.blocks]
    names += [("step", step.id, step.place) for step in sketch.drawing.steps]
    for command in _commands(sketch):
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
    for step in _specs(sketch):
        limits.append(("within", step.name, step.within, step.place))
        retries.append((step.name, step.retry, step.place))
        if step.undo is not None:
            name = step.undo.function.__name__
            limits.append(("within", name, step.undo.within, step.undo.place))
            retries.append((name, step.undo.retry, step.undo.place))
    for word, name, limit, place in limits:
        if limit < timedelta(milliseconds=1):
            text = f"`{word}` of `{name}` is {durations.say(limit)}"
            yield Problem("SG508", place, text, "at least a millisecond")
    for name, retry, place in retries:
        if retry is not None and retry.trouble:
            yield Problem("SG508", place, f"in the `retry` of `{name}` {retry.trouble}", "mend it")


def sg405(sketch: Sketch) -> Problems:
    """A version that follows what it cannot."""
    spec, older = sketch.spec, sketch.spec.follows
    if older is None:
        return
    if older.id != spec.id:
        text = f"`{spec.id}` v{spec.version} follows `{older.id}`, which is another saga"
        yield Problem("SG405", spec.place, text, f'`@saga(id="{spec.id}", ...)` at the older one')
    elif older.version >= spec.version:
        text = f"`{spec.id}` v{spec.version} follows v{older.version}"
        yield Problem("SG405", spec.place, text, f"`version={older.version + 1}`")


CHECKS: dict[str, Callable[[Sketch], Problems]] = {
    look.__name__.upper(): look
    for look in (
        sg001, sg101, sg102, sg103, sg104, sg105, sg106, sg107, sg108,
        sg201, sg202, sg203, sg204, sg205, sg206, sg207, sg208, sg211,
        sg301, sg302, sg304, sg405, sg501, sg502, sg503, sg504, sg505, sg507, sg508,
    )
}  # fmt: skip
"""What is looked for in each definition, by code."""


# --- looking about ------------------------------------------------------------------------------


def _specs(sketch: Sketch) -> tuple[StepSpec, ...]:
    return tuple(dict.fromkeys(step.spec for step in sketch.drawing.steps))


def _place(function: Callable[..., Any]) -> Place:
    return Place(function.__code__.co_filename, function.__code__.co_firstlineno)


def _answers(spec: StepSpec) -> tuple[Any, tuple[Any, ...]]:
    command = spec.signature.gives
    return kinds.answers_of(command) if kinds.is_command(command) else (Any, ())


def _is_payload(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Payload)


def _commands(sketch: Sketch) -> tuple[type[Command[Any, Any]], ...]:
    specs = _specs(sketch)
    given = [spec.signature.gives for spec in specs]
    given += [spec.undo.signature.gives for spec in specs if spec.undo is not None]
    return tuple(dict.fromkeys(kind for kind in given if kinds.is_command(kind)))


def _travelling(sketch: Sketch) -> Iterator[Any]:
    yield sketch.spec.takes
    yield sketch.spec.gives
    for command in _commands(sketch):
        result, failures = kinds.answers_of(command)
        yield from (command, result, *failures)
    yield from sketch.drawing.derived.values()


def _signatures(sketch: Sketch) -> Iterator[tuple[Callable[..., Any], kinds.Signature]]:
    yield sketch.spec.function, sketch.spec.signature
    for spec in _specs(sketch):
        yield spec.function, spec.signature
        if spec.undo is not None:
            yield spec.undo.function, spec.undo.signature
    functions = [block.spec.function for block in sketch.drawing.blocks]
    for function in dict.fromkeys([*functions, *sketch.drawing.derived]):
        yield function, kinds.signature_of(function)


def _pivot(sketch: Sketch) -> int:
    places = (step.index for step in sketch.drawing.steps if step.pivot)
    return next(places, len(sketch.drawing.steps))


def _before_pivot(sketch: Sketch) -> list[StepMark]:
    return sketch.drawing.steps[: _pivot(sketch)]


def _after_pivot(sketch: Sketch) -> list[StepMark]:
    return sketch.drawing.steps[_pivot(sketch) + 1 :]


def _longest(sketch: Sketch, scope: Scope) -> timedelta:
    # The deadline stops nothing once the pivot is requested.
    before = set(map(id, _before_pivot(sketch)))

    def of_scope(scope: Scope) -> timedelta:
        return sum(map(of_mark, scope.marks), timedelta(0))

    def of_mark(mark: Mark) -> timedelta:
        match mark:
            case StepMark():
                return mark.spec.within if id(mark) in before else timedelta(0)
            case BlockMark():
                return of_scope(mark.inside)
            case ParallelMark():
                return max(map(of_scope, mark.branches), default=timedelta(0))
            case ChooseMark():
                then = of_scope(mark.then)
                return then if mark.otherwise is None else max(then, of_scope(mark.otherwise))

    return of_scope(scope)


def _reads(sketch: Sketch) -> Iterator[tuple[Use, Read]]:
    for use in sketch.drawing.uses:
        for read in use.reads:
            if read.made.drawing is sketch.drawing:
                yield use, read


def _judged(sketch: Sketch) -> Iterator[tuple[Use, Read]]:
    return ((use, read) for use, read in _reads(sketch) if read.unplaced is None)


def _may_be_none(read: Read) -> bool:
    # The value fits but for its being absent.
    have = kinds.members(read.made.kind)
    return (
        kinds.NONE in have
        and not kinds.fits(kinds.NONE, read.want)
        and all(kinds.fits(part, read.want) for part in kinds.present(read.made.kind))
    )


def _drawn_functions(sketch: Sketch) -> dict[Callable[..., Any], Place]:
    found = {sketch.spec.function: sketch.spec.place}
    for block in sketch.drawing.blocks:
        found.setdefault(block.spec.function, block.spec.place)
    return found


def _banned(sketch: Sketch) -> Iterator[tuple[Place, syntax.Banned]]:
    for function, place in _drawn_functions(sketch).items():
        source = syntax.source_of(function)
        if source is not None:
            for banned in syntax.banned_in(source):
                yield Place(place.file, banned.line), banned
