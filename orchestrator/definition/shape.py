"""The shape of a definition as lines of text: what is fingerprinted, locked and compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from orchestrator.core import definition as core
from orchestrator.definition import kinds
from orchestrator.definition.binding import pure_of
from orchestrator.definition.values import Retag, needs_of, parts_of


def shape_of(tree: core.Definition) -> tuple[str, ...]:
    """Give one line for each thing that a running saga depends on, in the order of the text."""
    return tuple(_Shape(tree).lines())


class _Shape:
    def __init__(self, tree: core.Definition) -> None:
        self.tree = tree
        self.names: dict[int, str] = {}
        """Values that others are computed from, under a name of their own, so that each is said
        once however often it is read."""

    def lines(self) -> Iterator[str]:
        tree = self.tree
        yield f"saga({tree.input_type}) deadline {tree.deadline_ms} ms, keep {tree.keep_ms} ms"
        for child in tree.root.children:
            yield from self.node(child)
        if tree.result is not None:
            yield from self.shared(tree.result)
            yield f"result {self.value(tree.result)}"

    def node(self, node: core.Node) -> Iterator[str]:
        match node:
            case core.Step():
                yield from self.step(node)
            case core.Sequence():
                yield f"block {node.name}" if node.name else "sequence"
                yield from self.below(node.children)
            case core.Parallel():
                yield "parallel"
                yield from self.below(node.children)
            case core.Choose():
                yield from self.shared(node.condition)
                yield f"choose {self.value(node.condition)}"
                yield from self.below((node.then,))
                if node.otherwise is not None:
                    yield "otherwise"
                    yield from self.below((node.otherwise,))
            case _:
                assert_never(node)

    def below(self, nodes: tuple[core.Node, ...]) -> Iterator[str]:
        for node in nodes:
            for line in self.node(node):
                yield f"  {line}"

    def step(self, step: core.Step) -> Iterator[str]:
        for argument in step.arguments:
            yield from self.shared(argument)
        arguments = ", ".join(self.value(value) for value in step.arguments)
        kind = "pivot" if step.pivot else "step"
        yield f"{kind} {step.id}({arguments}) -> {step.participant}.{step.command_type}"
        yield f"  {_policy(step.within_ms, step.retry)}"
        undo = step.undo
        if undo is not None:
            yield f"  undo -> {undo.participant}.{undo.command_type}"
            yield f"    {_policy(undo.within_ms, undo.retry)}"

    def shared(self, value: core.Value) -> Iterator[str]:
        for part in parts_of(value):
            for need in needs_of(part):
                if needs_of(need) and id(need) not in self.names:
                    text = self.value(need)
                    self.names[id(need)] = name = f"v{len(self.names)}"
                    yield f"{name} = {text}"

    def value(self, value: core.Value | None) -> str:
        if value is not None and id(value) in self.names:
            return self.names[id(value)]
        match value:
            case None:
                return "None"
            case core.Given():
                return "given"
            case core.Result():
                return self.tree.steps[value.step].id
            case core.Chosen():
                then, otherwise = self.value(value.then), self.value(value.otherwise)
                return f"choice {value.decision}({then}, {otherwise})"
            case core.Derived():
                return self.derived(value)
            case _:
                assert_never(value)

    def derived(self, value: core.Derived) -> str:
        arguments = ", ".join(self.value(argument) for argument in value.arguments)
        function = value.function
        if isinstance(function, Retag):
            return f"{arguments} as {kinds.say(function.want)}"
        pure = pure_of(function)
        gives = "" if pure is None else f": {kinds.say(pure.gives)}"
        return f"{value.name}({arguments}){gives}"


def _policy(within_ms: int, retry: core.RetryPolicy) -> str:
    attempts = "for ever" if retry.attempts_max is None else f"{retry.attempts_max} attempts"
    return (
        f"within {within_ms} ms, {attempts}, "
        f"pause {retry.first_ms} ms x {retry.factor:g} up to {retry.cap_ms} ms"
    )
