"""A definition as Mermaid text; `picture.svg` draws the same.

Forward edges are solid, undo edges dashed, blocks are boxes, a bar stands behind the pivot.
"""

from __future__ import annotations

from typing import NamedTuple

from orchestrator.core import definition as core
from orchestrator.definition.picture import outcome_of

PIVOT_TEXT = "no way back from here"


class End(NamedTuple):
    """A loose end that the next node is tied to: a node, and what the edge will say."""

    node: str
    label: str = ""


def mermaid(tree: core.Definition) -> str:
    """Draw a definition as a Mermaid flowchart."""
    chart = _Chart()
    chart.say(f"start([{_label(tree.input_type)}])")
    ends = chart.nodes(tree.root.children, [End("start")])
    chart.tie(ends, "finish")
    chart.say(f"finish([{_label(outcome_of(tree))}])")
    chart.say("classDef undo stroke-dasharray: 4 3")
    chart.say("classDef bar fill:#b45309,stroke:#b45309,color:#ffffff")
    return "\n".join(["flowchart TD", *chart.lines]) + "\n"


class _Chart:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0
        self.depth = 1

    def say(self, line: str) -> None:
        self.lines.append("  " * self.depth + line)

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def tie(self, ends: list[End], node: str) -> None:
        for end in ends:
            label = f"|{_label(end.label)}|" if end.label else ""
            self.say(f"{end.node} -->{label} {node}")

    def nodes(self, nodes: tuple[core.Node, ...], ends: list[End]) -> list[End]:
        for node in nodes:
            ends = self.node(node, ends)
        return ends

    def node(self, node: core.Node, ends: list[End]) -> list[End]:
        match node:
            case core.Step():
                return self.step(node, ends)
            case core.Sequence():
                return self.block(node, ends) if node.name else self.nodes(node.children, ends)
            case core.Parallel():
                return self.parallel(node, ends)
            case core.Choose():
                return self.choose(node, ends)

    def step(self, step: core.Step, ends: list[End]) -> list[End]:
        name = self.name()
        self.say(f"{name}[{_label(step.id, f'{step.participant}: {step.command_type}')}]")
        self.tie(ends, name)
        if step.undo is not None:
            undo = _label(f"{step.undo.participant}: {step.undo.command_type}")
            self.say(f"{name} -.-> {name}u({undo}):::undo")
        if not step.pivot:
            return [End(name)]
        self.say(f"{name} --> {name}p[{_label(PIVOT_TEXT)}]:::bar")
        return [End(f"{name}p")]

    def block(self, block: core.Sequence, ends: list[End]) -> list[End]:
        self.say(f"subgraph {self.name()} [{_label(block.name)}]")
        self.depth += 1
        ends = self.nodes(block.children, ends)
        self.depth -= 1
        self.say("end")
        return ends

    def parallel(self, parallel: core.Parallel, ends: list[End]) -> list[End]:
        fork, join = self.name(), self.name()
        self.say(f"{fork}@{{ shape: fork }}")
        self.tie(ends, fork)
        loose = [end for child in parallel.children for end in self.node(child, [End(fork)])]
        self.say(f"{join}@{{ shape: join }}")
        self.tie(loose, join)
        return [End(join)]

    def choose(self, choose: core.Choose, ends: list[End]) -> list[End]:
        name = self.name()
        self.say(f"{name}{{{_label(choose.name)}}}")
        self.tie(ends, name)
        then = self.node(choose.then, [End(name, "yes")])
        if choose.otherwise is None:
            return [*then, End(name, "no")]
        return [*then, *self.node(choose.otherwise, [End(name, "no")])]


def _label(*lines: str) -> str:
    # Mermaid reads `#...;` as an entity, within quotes as well.
    marks = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;"}
    text = ["".join(marks.get(letter, letter) for letter in line) for line in lines]
    return '"' + "<br/>".join(text) + '"'
