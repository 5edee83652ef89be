"""A small chart as SVG: lines over logarithmic or linear axes, with bands and labels at their ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 470, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 92, 58, 46
_FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
_INK, _SOFT, _GRID = "#222222", "#6b6b6b", "#e6e6e6"
_LABEL_APART = 15.0
"""Pixels between two labels at the right edge."""
_MARGIN = 1.25
"""How far a logarithmic axis goes beyond the data, as a factor."""


class Point(NamedTuple):
    """A median with the least and the most."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True)
class Line:
    """One subject."""

    name: str
    color: str
    points: tuple[Point, ...]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One chart."""

    title: str
    x_title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[float, ...]
    log_y: bool = True


Scale = Callable[[float], float]


def draw_panels(panels: Sequence[Panel], title: str, note: str) -> str:
    """Draw panels side by side as one SVG."""
    width, height = _WIDTH * len(panels), _HEIGHT + 62
    parts = [
        svg_open(width, height, _FONT, 12),
        _text(18, 28, title, size=17, weight=600),
        _text(18, height - 12, note, color=_SOFT, size=11),
    ]
    for number, panel in enumerate(panels):
        inner = "\n".join(_panel(panel))
        parts.append(f'<g transform="translate({number * _WIDTH} 32)">\n{inner}\n</g>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def svg_open(width: int, height: int, font: str, size: int) -> str:
    """Open a white picture of so many pixels."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="{font}" font-size="{size}">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    )


def _panel(panel: Panel) -> Iterator[str]:
    points = [point for line in panel.lines for point in line.points]
    x_at = _log(min(panel.x_ticks), max(panel.x_ticks), _LEFT, _WIDTH - _RIGHT)
    ticks, y_at = _y_axis(panel, points)
    yield _text(_LEFT, _TOP - 22, panel.title, size=13, weight=600)
    for tick in ticks:
        y = y_at(tick)
        yield _stroke(_LEFT, y, _WIDTH - _RIGHT, y, _GRID)
        yield _text(_LEFT - 8, y + 4, _number(tick), color=_SOFT, anchor="end")
    bottom = _HEIGHT - _BOTTOM
    for tick in panel.x_ticks:
        x = x_at(tick)
        yield _stroke(x, bottom, x, bottom + 5, _SOFT)
        yield _text(x, bottom + 20, _number(tick), color=_SOFT, anchor="middle")
    yield _stroke(_LEFT, bottom, _WIDTH - _RIGHT, bottom, _SOFT)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield _text(middle, bottom + 38, panel.x_title, color=_SOFT, anchor="middle")
    for line in panel.lines:
        yield from _line(line, x_at, y_at)
    yield from _labels(panel.lines, x_at, y_at)


def _line(line: Line, x_at: Scale, y_at: Scale) -> Iterator[str]:
    spots = [(x_at(p.x), y_at(p.y), y_at(p.low), y_at(p.high)) for p in line.points]
    band = [f"{x:.1f},{high:.1f}" for x, _, _, high in spots]
    band += [f"{x:.1f},{low:.1f}" for x, _, low, _ in reversed(spots)]
    yield f'<polygon points="{" ".join(band)}" fill="{line.color}" fill-opacity="0.13"/>'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in spots)
    dashes = ' stroke-dasharray="6 4"' if line.dashed else ""
    yield (
        f'<polyline points="{path}" fill="none" stroke="{line.color}" stroke-width="2.2" '
        f'stroke-linejoin="round"{dashes}/>'
    )
    for point, (x, y, low, high) in zip(line.points, spots, strict=True):
        yield _stroke(x, low, x, high, line.color)
        told = f"{line.name}, {_number(point.x)}: {point.y:,.6g}"
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{line.color}" stroke="#ffffff" '
            f'stroke-width="1.2"><title>{escape(told)}</title></circle>'
        )


def _labels(lines: Sequence[Line], x_at: Scale, y_at: Scale) -> Iterator[str]:
    """Name each line at its end; labels at the edge that would touch are moved apart."""
    free_y = -math.inf
    ends = [(y_at(line.points[-1].y), line) for line in lines]
    for wanted_y, line in sorted(ends, key=lambda end: end[0]):
        x = x_at(line.points[-1].x)
        if x < _WIDTH - _RIGHT - 1:  # it ends inside, where the others run
            label = _text(x, wanted_y - 9, line.name, color=line.color, anchor="end", weight=600)
            yield label.replace(
                "<text ", '<text paint-order="stroke" stroke="#fff" stroke-width="4" '
            )
        else:
            y = max(wanted_y, free_y)
            free_y = y + _LABEL_APART
            yield _text(x + 9, y + 4, line.name, color=line.color, weight=600)


def _y_axis(panel: Panel, points: Sequence[Point]) -> tuple[list[float], Scale]:
    low, high = min(p.low for p in points), max(p.high for p in points)
    bottom, top = _HEIGHT - _BOTTOM, _TOP
    if panel.log_y:
        low, high = low / _MARGIN, high * _MARGIN
        return list(_log_ticks(low, high)), _log(low, high, bottom, top)
    step = _nice_step(high)
    top_value = step * math.ceil(high * 1.05 / step)
    ticks = [step * number for number in range(round(top_value / step) + 1)]
    return ticks, lambda value: bottom + value / top_value * (top - bottom)


def _log(low: float, high: float, start: float, end: float) -> Scale:
    span = math.log(high / low) or 1.0
    return lambda value: start + math.log(value / low) / span * (end - start)


def _log_ticks(low: float, high: float) -> Iterator[float]:
    steps = (1, 2, 5) if high / low < 2_000 else (1,)
    for exponent in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for step in steps:
            tick = step * 10.0**exponent
            if low <= tick <= high:
                yield tick


def _nice_step(high: float) -> float:
    rough = high / 4
    unit = 10.0 ** math.floor(math.log10(rough))
    return next(unit * step for step in (1, 2, 2.5, 5, 10) if unit * step >= rough)


def _number(value: float) -> str:
    if value >= 1_000_000:
        return f"{value / 1_000_000:g} M"
    if value >= 10_000:
        return f"{value / 1_000:g} k"
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    color: str = _INK,
    size: int = 12,
    anchor: str = "start",
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" font-size="{size}" '
        f'font-weight="{weight}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _stroke(x1: float, y1: float, x2: float, y2: float, color: str) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
        'stroke-width="1"/>'
    )
