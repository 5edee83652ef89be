"""From a drawing without mistakes to the frozen tree that the core runs."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Any, assert_never

from orchestrator.core import definition as core
from orchestrator.definition import kinds
from orchestrator.definition.declared import StepSpec, UndoSpec
from orchestrator.definition.drawing import (
    BlockMark,
    ChooseMark,
    Mark,
    ParallelMark,
    Scope,
    StepMark,
)
from orchestrator.definition.durations import milliseconds
from orchestrator.definition.payload import participant_of
from orchestrator.definition.plan import Sketch
from orchestrator.definition.retry import Retry
from orchestrator.definition.shape import shape_of
from orchestrator.definition.values import Pure


def freeze(sketch: Sketch) -> core.Definition:
    """Build the tree. Its functions are `Pure`: they run once a codec is bound to them."""
    spec, drawing = sketch.spec, sketch.drawing
    pivot = next((step.index for step in drawing.steps if step.pivot), len(drawing.steps))
    for step in drawing.steps:
        step.spec.built = True
    tree = core.Definition(
        name=spec.id,
        version=spec.version,
        fingerprint=0,
        deadline_ms=milliseconds(spec.deadline),
        keep_ms=milliseconds(spec.keep),
        root=core.Sequence(_children(drawing.root, pivot)),
        result=None if sketch.result is None else sketch.result.value,
        input_type=kinds.say(spec.takes),
        doc=(spec.function.__doc__ or "").strip(),
    )
    return replace(tree, fingerprint=fingerprint(tree))


def fingerprint(tree: core.Definition) -> int:
    """Give 64 bits over ids, types, policies and shape, as a signed number (an Avro long)."""
    text = "\n".join(shape_of(tree))
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big", signed=True)


def _children(scope: Scope, pivot: int) -> tuple[core.Node, ...]:
    return tuple(_node(mark, pivot) for mark in scope.marks)


def _branch(scope: Scope, pivot: int) -> core.Node:
    children = _children(scope, pivot)
    return children[0] if len(children) == 1 else core.Sequence(children)


def _node(mark: Mark, pivot: int) -> core.Node:
    match mark:
        case StepMark():
            return _step(mark, pivot)
        case BlockMark():
            return core.Sequence(_children(mark.inside, pivot), mark.id)
        case ParallelMark():
            return core.Parallel(tuple(_branch(scope, pivot) for scope in mark.branches))
        case ChooseMark():
            otherwise = None if mark.otherwise is None else _branch(mark.otherwise, pivot)
            condition = mark.condition
            return core.Choose(
                mark.decision,
                condition.name,
                condition.value,
                _branch(mark.then, pivot),
                otherwise,
            )
        case _:
            assert_never(mark)


def _step(mark: StepMark, pivot: int) -> core.Step:
    spec, reads = mark.spec, mark.use.reads
    command = spec.signature.gives
    after = mark.index > pivot
    return core.Step(
        index=mark.index,
        id=mark.id,
        participant=participant_of(command).name,
        command_type=command.__name__,
        function=Pure(mark.id, spec.function, tuple(r.made.kind for r in reads), command),
        arguments=tuple(read.made.value for read in reads),
        within_ms=milliseconds(spec.within),
        retry=_retry(spec, after=after).policy,
        undo=None if spec.undo is None else _undo(spec, spec.undo),
        pivot=mark.pivot,
        after_pivot=after,
        place=str(mark.place),
    )


def _retry(spec: StepSpec, *, after: bool) -> Retry:
    # After the pivot there is only forward: giving up would leave the saga stuck.
    if spec.retry is not None:
        return spec.retry
    return Retry.forever() if after else Retry()


def _undo(spec: StepSpec, undo: UndoSpec) -> core.Undo:
    command: Any = undo.signature.gives
    name = getattr(undo.function, "__name__", "undo")
    # A compensation that does not care for the result takes the command alone.
    takes = (spec.signature.gives, spec.result)[: len(undo.signature.takes)]
    return core.Undo(
        function=Pure(name, undo.function, takes, command),
        command_type=command.__name__,
        participant=participant_of(command).name,
        within_ms=milliseconds(undo.within),
        retry=undo.retry.policy,
    )
