"""SG2xx: who reads what."""

from __future__ import annotations

from orchestrator.definition import kinds
from orchestrator.definition.drawing import Read
from orchestrator.definition.looking import Problems, is_payload, reads_of, undos_of
from orchestrator.definition.plan import Sketch
from orchestrator.definition.problem import Problem, Severity


def sg201(sketch: Sketch) -> Problems:
    """A value of the wrong type."""
    for use, read in reads_of(sketch):
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
    for use, read in reads_of(sketch):
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
    for spec, undo in undos_of(sketch):
        command = spec.signature.gives
        if not undo.signature.takes:
            continue
        name, (wanted, *rest) = undo.function.__name__, undo.signature.takes
        # A step that gives no command is SG503 already.
        if kinds.is_command(command) and not kinds.fits(command, wanted):
            text = (
                f"`{name}` undoes `{kinds.say(wanted)}`; "
                f"`{spec.name}` sends `{kinds.say(command)}`"
            )
            cure = f"take a `{kinds.say(command)}`"
            yield Problem("SG203", undo.place, text, cure)
        for want in rest[:1]:
            if not kinds.fits(spec.result, want):
                text = (
                    f"`{name}` wants `{kinds.say(want)}`; "
                    f"`{spec.name}` results in `{kinds.say(spec.result)}`"
                )
                yield Problem("SG203", undo.place, text, f"`{kinds.say(spec.result)} | None`")
            elif not kinds.fits(kinds.NONE, want):
                text = (
                    f"`{name}` wants `{kinds.say(want)}`; it gets None when the outcome is unknown"
                )
                yield Problem("SG203", undo.place, text, f"`{kinds.say(want)} | None`")


def sg204(sketch: Sketch) -> Problems:
    """A value of the inside of a block, read outside."""
    for use, read in reads_of(sketch):
        scope = use.scope
        if scope is not None and read.unplaced is None and not scope.sees(read.made.scope):
            text = (
                f"`{use.reader}` reads `{read.name}`, which lives in a block that may not have run"
            )
            yield Problem("SG204", use.place, text, "return it from its block")


def sg205(sketch: Sketch) -> Problems:
    """A call without effect. Held back when what raised may have kept it from being placed."""
    if not sketch.whole:
        return
    read = {read.unplaced for use in sketch.drawing.uses for read in use.reads}
    for call in sketch.drawing.calls:
        # A call that was handed on instead of its result is SG208 already.
        if not (call.placed or call.excused or call in read):
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
                verb = "returns" if use.returning else "reads"
                text = f"`{use.reader}` {verb} `{read.name}`, a Call that has not been placed"
                cure = f"`{read.name} = flow.do({call.name}({arguments}))`"
                yield Problem("SG208", use.place, text, cure)


def sg211(sketch: Sketch) -> Problems:
    """Two values of one payload class: swapped, they would go unseen."""
    for call in sketch.drawing.calls:
        wanted = [kinds.present(read.want) for read in call.use.reads]
        payloads = [k[0] for k in wanted if len(k) == 1 and is_payload(k[0])]
        for kind in dict.fromkeys(k for k in payloads if payloads.count(k) > 1):
            text = f"`{call.name}` takes two values of `{kinds.say(kind)}`: they could be swapped"
            cure = "a payload class for each"
            yield Problem("SG211", call.use.place, text, cure, Severity.WARNING)


def _may_be_none(read: Read) -> bool:
    # The value fits but for its being absent.
    have = kinds.members(read.made.kind)
    return (
        kinds.NONE in have
        and not kinds.fits(kinds.NONE, read.want)
        and all(kinds.fits(part, read.want) for part in kinds.present(read.made.kind))
    )


CHECKS = (sg201, sg202, sg203, sg204, sg205, sg206, sg207, sg208, sg211)
