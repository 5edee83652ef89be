"""Flame graphs: collapsed stacks in, a small SVG out. Width is time, depth is the call stack."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from benchmarks.chart import svg_open

Stacks = Counter[tuple[str, ...]]
"""Samples by stack, the outermost function first."""

_WIDTH, _ROW, _TOP, _PAD = 1_200, 17, 56, 10
_CHARACTER = 6.7
"""Width of one, in pixels, at the size used."""
_NARROWEST = 1.2
"""Pixels below which a frame is left out: nobody could see it, and the file stays small."""
_LINE = re.compile(r":\d+\)$")
_NAMELESS = re.compile(r"^(0x|\?|_start |__libc_start)")
_WAITING = re.compile(r"^(pthread_cond_|__futex|epoll_|poll |select )")
_ROOT = re.compile(r"^(run_worker|serve) ")
_OURS, _LIBRARY, _NATIVE = ("#e8925a", "#e6a674"), ("#dcc36a", "#e2cf87"), ("#8fb4d6", "#a7c4df")


@dataclass
class _Node:
    name: str
    count: int = 0
    children: dict[str, _Node] = field(default_factory=dict)


class _Box(NamedTuple):
    name: str
    samples: int
    depth: int
    left: int
    """Samples before it."""


def parse_stacks(text: str) -> Stacks:
    """Read collapsed stacks: `outer;inner;innermost 12` a line. Line numbers are dropped."""
    found: Stacks = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if stack and count.isdigit():
            names = (
                _LINE.sub(")", name) for name in stack.split(";") if not _NAMELESS.match(name)
            )
            found[tuple(names)] += int(count)
    return found


def within(stacks: Stacks, mark: str) -> Stacks:
    """Leave out samples of threads that are not in a function whose name begins with `mark`."""
    kept = {s: n for s, n in stacks.items() if any(name.startswith(mark) for name in s)}
    return Counter(kept)


def busy(stacks: Stacks) -> Stacks:
    """Leave out samples that only wait: native waits look busy to whoever sees no system calls."""
    kept = {stack: n for stack, n in stacks.items() if not any(map(_WAITING.match, stack))}
    return Counter(kept)


def self_shares(stacks: Stacks, count_max: int) -> dict[str, float]:
    """Give the share of the samples that had a function on top of the stack, largest first."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found[stack[-1]] += count
    total = found.total() or 1
    return {name: round(count / total, 4) for name, count in found.most_common(count_max)}


def total_shares(stacks: Stacks) -> dict[str, float]:
    """Give the share of the samples that had a function anywhere on the stack."""
    found: Counter[str] = Counter()
    for stack, count in stacks.items():
        found.update(dict.fromkeys(stack, count))
    total = stacks.total() or 1
    return {name: round(count / total, 4) for name, count in found.most_common()}


def draw_flame(stacks: Stacks, title: str) -> str:
    """Draw stacks as an SVG; frames that all samples share are left out at the root."""
    root = _Node("all")
    for stack, count in stacks.items():
        _add(root, stack, count)
    while len(root.children) == 1:
        (only,) = root.children.values()
        root = only
        if _ROOT.match(only.name):
            break
    boxes = list(_boxes(root, 0, 0))
    scale = (_WIDTH - 2 * _PAD) / max(root.count, 1)
    shown = [box for box in boxes if box.samples * scale >= _NARROWEST]
    height = _TOP + _ROW * (1 + max(box.depth for box in shown)) + _PAD
    told = f"{root.count:,} samples; orange: our Python, yellow: other Python, blue: native code"
    sans = 'font-family="system-ui, sans-serif"'
    lines = [
        svg_open(_WIDTH, height, "ui-monospace, monospace", 11),
        f'<text x="{_PAD}" y="24" font-size="15" {sans} fill="#222222">{escape(title)}</text>',
        f'<text x="{_PAD}" y="42" {sans} fill="#666666">{told}</text>',
        *(_draw(box, scale, root.count) for box in shown),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _add(root: _Node, stack: tuple[str, ...], count: int) -> None:
    node = root
    node.count += count
    for name in stack:
        node = node.children.setdefault(name, _Node(name))
        node.count += count


def _boxes(node: _Node, depth: int, left: int) -> Iterator[_Box]:
    yield _Box(node.name, node.count, depth, left)
    for child in sorted(node.children.values(), key=lambda each: each.name):
        yield from _boxes(child, depth + 1, left)
        left += child.count


def _draw(box: _Box, scale: float, total: int) -> str:
    x, width = _PAD + box.left * scale, box.samples * scale
    y = _TOP + box.depth * _ROW
    room = int((width - 4) / _CHARACTER)
    short = box.name.partition(" (")[0]
    shown = short if len(short) <= room else (f"{short[: room - 1]}…" if room > 3 else "")
    label = f'<text x="{x + 3:.1f}" y="{y + 12}" fill="#1d1d1d">{escape(shown)}</text>'
    return (
        f"<g><title>{escape(box.name)}: {box.samples / total:.1%}</title>"
        f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.6, 0.6):.1f}" height="{_ROW - 1}" '
        f'rx="1.5" fill="{_color(box.name)}"/>{label if shown else ""}</g>'
    )


def _color(name: str) -> str:
    if "orchestrator/" in name or "benchmarks/" in name:
        shades = _OURS
    elif ".py)" in name or "(<" in name:
        shades = _LIBRARY
    else:
        shades = _NATIVE
    return shades[zlib.crc32(name.encode()) % 2]
