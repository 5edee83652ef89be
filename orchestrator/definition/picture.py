"""A definition as an SVG picture, laid out from top to bottom.

Every part is drawn around its own axis, the vertical line that the flow enters and leaves on; parts
are stacked along it or set side by side. Forward edges are solid, undo edges dashed, blocks are
boxes, and a bar stands behind the pivot. Steps carry `data-step`, so that a page can light them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from orchestrator.core import definition as core
from orchestrator.definition import kinds
from orchestrator.definition.binding import pure_of

GAP = 26.0
"""Between two parts of a sequence: the length of an arrow."""
ASIDE = 28.0
"""Between two branches, and between a step and its compensation."""
MARGIN = 20.0
LETTER, SMALL = 7.9, 6.7
"""Width of a letter of the two fonts, generously, since they are not measured."""

STYLE = """
text { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #1f2937 }
.name { font-size: 13px; font-weight: 600 }
.small { font-size: 11px; fill: #6b7280 }
.middle { text-anchor: middle }
.step rect { fill: #ffffff; stroke: #374151; stroke-width: 1.4 }
.pivot rect { stroke: #b45309; stroke-width: 2.4 }
.undo rect { fill: #f9fafb; stroke: #9ca3af; stroke-width: 1.2; stroke-dasharray: 4 3 }
.back { fill: none; stroke: #9ca3af; stroke-width: 1.3; stroke-dasharray: 4 3; marker-end: url(#back) }
.edge { fill: none; stroke: #374151; stroke-width: 1.3 }
.arrow { marker-end: url(#arrow) }
.block { fill: #f3f4f6; fill-opacity: 0.7; stroke: #cbd5e1; stroke-width: 1.2 }
.choice { fill: #eff6ff; stroke: #2563eb; stroke-width: 1.4 }
.end { fill: #111827 }
.end-text { font-size: 12px; fill: #ffffff; text-anchor: middle }
.fork { fill: #374151 }
.bar { fill: #b45309 }
.bar-text { font-size: 11px; fill: #b45309 }
"""
HEAD = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0.6 L8 4 L0 7.4 z" fill="#374151"/></marker>'
    '<marker id="back" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0.6 L8 4 L0 7.4 z" fill="#9ca3af"/></marker></defs>'
)


class Part(NamedTuple):
    """A drawn piece: how far it reaches to both sides of its axis, how high it is, its SVG."""

    left: float
    right: float
    height: float
    svg: str
    bar: bool = False
    """The pivot: a bar is drawn behind it, as wide as the sequence that it is in."""


def svg(tree: core.Definition) -> str:
    """Draw a definition as a complete SVG document."""
    parts = [_end(tree.input_type), *map(_node, tree.root.children), _end(outcome_of(tree))]
    whole = _stack(parts)
    width, height = whole.left + whole.right + 2 * MARGIN, whole.height + 2 * MARGIN
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.1f} {height:.1f}"'
    title = escape(f"{tree.name} v{tree.version}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{title}</title>'
        f"<style>{STYLE}</style>{HEAD}"
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f"{_at(MARGIN + whole.left, MARGIN, whole.svg)}</svg>\n"
    )


def outcome_of(tree: core.Definition) -> str:
    """Say what a completed saga gives, for the last node of a drawing."""
    match tree.result:
        case core.Derived(function=function):
            gives = pure_of(function)
            return "completed" if gives is None else kinds.say(gives.gives)
        case core.Result(step=step):
            command = pure_of(tree.steps[step].function)
            return (
                "completed" if command is None else kinds.say(kinds.answers_of(command.gives)[0])
            )
        case _:
            return "completed"


# --- parts --------------------------------------------------------------------------------------


def _node(node: core.Node) -> Part:
    match node:
        case core.Step():
            return _step(node)
        case core.Sequence():
            inside = _stack([_node(child) for child in node.children])
            return _block(node.name, inside) if node.name else inside
        case core.Parallel():
            return _parallel([_node(child) for child in node.children])
        case core.Choose():
            then = _node(node.then)
            if node.otherwise is None:
                return _when(node.name, then)
            return _choose(node.name, then, _node(node.otherwise))


def _step(step: core.Step) -> Part:
    below = f"{step.participant}: {step.command_type}"
    half, height = max(len(step.id) * LETTER, len(below) * SMALL) / 2 + 12, 44.0
    svg = (
        f'<g class="step{" pivot" if step.pivot else ""}" data-step={quoteattr(step.id)}>'
        f"{_rect(-half, 0, 2 * half, height, 7)}"
        f"{_text('name middle', 0, 19, step.id)}{_text('small middle', 0, 35, below)}</g>"
    )
    if step.undo is None:
        return Part(half, half, height, svg, bar=step.pivot)
    undo = f"{step.undo.participant}: {step.undo.command_type}"
    start, width = half + ASIDE, len(undo) * SMALL + 20
    svg += (
        f'<g class="undo" data-step={quoteattr(step.id)}>'
        f"{_line('back', (half, 22), (start, 22))}{_rect(start, 9, width, 26, 13)}"
        f"{_text('small middle', start + width / 2, 26, undo)}</g>"
    )
    return Part(half, start + width, height, svg, bar=step.pivot)


def _end(text: str) -> Part:
    half = len(text) * 7.4 / 2 + 14
    svg = f'<rect class="end" x="{-half:.1f}" y="0" width="{2 * half:.1f}" height="26" rx="13"/>'
    return Part(half, half, 26, svg + _text("end-text", 0, 17, text))


def _stack(parts: Sequence[Part]) -> Part:
    left, right = _reach(parts)
    y, pieces = 0.0, []
    for number, part in enumerate(parts):
        if number:
            pieces.append(_line("edge arrow", (0, y), (0, y + GAP)))
            y += GAP
        pieces.append(_at(0, y, part.svg))
        y += part.height
        if part.bar:
            pieces.append(_line("edge", (0, y), (0, y + 14)))
            pieces.append(_bar("bar", -left, y + 14, left + right, 5))
            pieces.append(_text("bar-text", 10, y + 34, "no way back from here"))
            y += 19
    return Part(left, right, y, "".join(pieces))


def _block(name: str, inside: Part) -> Part:
    # The flow enters through the head of the box, so the name stands to its left.
    left = max(inside.left + 14, len(name) * LETTER + 20)
    right, height = inside.right + 14, inside.height + 54
    svg = (
        f'<rect class="block" x="{-left:.1f}" y="0" width="{left + right:.1f}" '
        f'height="{height:.1f}" rx="10"/>{_text("name", 12 - left, 20, name)}'
        f"{_line('edge arrow', (0, 0), (0, 34))}{_at(0, 34, inside.svg)}"
        f"{_line('edge', (0, 34 + inside.height), (0, height))}"
    )
    return Part(left, right, height, svg)


def _parallel(parts: Sequence[Part]) -> Part:
    axes, left, right = _side_by_side(parts)
    tallest = max(part.height for part in parts)
    height = tallest + 2 * GAP + 8
    pieces = [_bar("fork", axes[0] - 16, 0, axes[-1] - axes[0] + 32, 4)]
    pieces.append(_bar("fork", axes[0] - 16, height - 4, axes[-1] - axes[0] + 32, 4))
    for axis, part in zip(axes, parts, strict=True):
        pieces.append(_line("edge arrow", (axis, 4), (axis, 4 + GAP)))
        pieces.append(_at(axis, 4 + GAP, part.svg))
        pieces.append(_line("edge arrow", (axis, 4 + GAP + part.height), (axis, height - 4)))
    return Part(left, right, height, "".join(pieces))


def _when(name: str, then: Part) -> Part:
    half, diamond = _diamond(name)
    aside, top = max(half, then.right) + ASIDE, DIAMOND + GAP
    height = top + then.height + GAP / 2
    svg = (
        f"{diamond}{_line('edge arrow', (0, DIAMOND), (0, top))}"
        f"{_text('small', 7, DIAMOND + 14, 'yes')}{_at(0, top, then.svg)}"
        f"{_line('edge', (0, top + then.height), (0, height))}"
        f"{_line('edge', (half, DIAMOND / 2), (aside, DIAMOND / 2), (aside, height), (0, height))}"
        f"{_text('small', half + 5, DIAMOND / 2 - 6, 'no')}"
    )
    return Part(max(half, then.left), aside + 4, height, svg)


def _choose(name: str, then: Part, otherwise: Part) -> Part:
    half, diamond = _diamond(name)
    (one, other), left, right = _side_by_side([then, otherwise])
    # Both branches stand clear of the condition between them.
    push = max(0.0, half + 24 - other)
    one, other, left, right = one - push, other + push, left + push, right + push
    top, height = DIAMOND + GAP, DIAMOND + 2 * GAP + max(then.height, otherwise.height)
    pieces = [diamond]
    for side, axis, part, word in ((-half, one, then, "yes"), (half, other, otherwise, "no")):
        middle = DIAMOND / 2
        pieces.append(_line("edge arrow", (side, middle), (axis, middle), (axis, top)))
        pieces.append(_at(axis, top, part.svg))
        pieces.append(_line("edge", (axis, top + part.height), (axis, height), (0, height)))
        pieces.append(_text("small", side + (5 if side > 0 else -26), middle - 6, word))
    return Part(left, right, height, "".join(pieces))


DIAMOND = 40.0


def _diamond(name: str) -> tuple[float, str]:
    half, tip = len(name) * LETTER / 2 + 30, DIAMOND / 2
    points = f"{-half:.1f},{tip} 0,0 {half:.1f},{tip} 0,{DIAMOND}"
    shape = f'<polygon class="choice" points="{points}"/>'
    return half, shape + _text("name middle", 0, tip + 4.5, name)


# --- pieces -------------------------------------------------------------------------------------


def _reach(parts: Iterable[Part]) -> tuple[float, float]:
    sides = [(part.left, part.right) for part in parts]
    return max((left for left, _ in sides), default=0), max(
        (right for _, right in sides), default=0
    )


def _side_by_side(parts: Sequence[Part]) -> tuple[list[float], float, float]:
    # The outer axes are equally far from the middle, where the flow comes from and goes on.
    axes, x = [], 0.0
    for part in parts:
        axes.append(x + part.left)
        x += part.left + part.right + ASIDE
    middle = (axes[0] + axes[-1]) / 2
    return [axis - middle for axis in axes], middle, x - ASIDE - middle


def _at(x: float, y: float, inside: str) -> str:
    return f'<g transform="translate({x:.1f} {y:.1f})">{inside}</g>'


def _rect(x: float, y: float, width: float, height: float, radius: float) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius}"/>'
    )


def _bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height}" rx="{height / 2}"/>'
    )


def _line(kind: str, *points: tuple[float, float]) -> str:
    path = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="{kind}" d="M{path}"/>'


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
