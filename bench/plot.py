"""Lines as SVG, by hand: what a report needs, without a library.

A plot has groups of bars, or series of (x, y) points, each axis linear or logarithmic, ticks at round numbers, a legend. Points
whose place on a logarithmic axis does not exist (0 or less) are left out.
Does not know: what is plotted.
"""

from __future__ import annotations

import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 210, 40, 50
"""Margins; the legend is in the right one."""
COLOURS = (
    "#1b6ca8",
    "#c8553d",
    "#3a7d44",
    "#8e5ea2",
    "#d99000",
    "#4d4d4d",
    "#17a2a2",
    "#b03060",
    "#7f8c1f",
    "#6b4226",
    "#999999",
    "#0a3d62",
)

LABEL_LENGTH_MAX = 40
"""Of a group of bars."""

Points = list[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Axis:
    """A direction: its label, and from where to where."""

    label: str
    low: float
    high: float
    logarithmic: bool

    def place(self, value: float) -> float:
        """0 at the low end, 1 at the high one."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round numbers between the ends."""
        if self.logarithmic:
            powers = range(round(math.log10(self.low)), round(math.log10(self.high)) + 1)
            return [10.0**power for power in powers]
        step = _round_step((self.high - self.low) / 5)
        return [step * index for index in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]


def lines(title: str, x: str, y: str, series: dict[str, Points], *, log_x: bool = False, log_y: bool = False) -> str:
    """The SVG text. x, y: labels with their units."""
    shown = {name: [point for point in points if _exists(point, log_x, log_y)] for name, points in series.items()}
    shown = {name: points for name, points in shown.items() if points}
    every = [point for points in shown.values() for point in points] or [(1.0, 1.0)]
    across = _axis(x, [point[0] for point in every], log_x)
    up = _axis(y, [point[1] for point in every], log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, title, size=14),
        *_frame(across, up),
    ]
    for index, (name, points) in enumerate(shown.items()):
        parts += _series(index, name, [(_x(across, point[0]), _y(up, point[1])) for point in points])
    return "\n".join([*parts, "</svg>\n"])


def bars(title: str, y: str, labels: list[str], series: dict[str, list[float | None]]) -> str:
    """The SVG text of a group of bars for each label, on a logarithmic axis; None and what is not above 0 has no bar."""
    values = [value for column in series.values() for value in column if value and value > 0]
    across = _axis(y, values or [1.0], True)
    row = 14 * len(series) + 10
    height = TOP + row * len(labels) + BOTTOM
    left, right = 260, WIDTH - 130
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 22, title, size=14),
    ]
    for tick in across.ticks():
        at = left + across.place(tick) * (right - left)
        parts += [_line(at, TOP, at, height - BOTTOM), _text(at, height - BOTTOM + 18, f"{tick:,.10g}", anchor="middle")]
    parts.append(_text((left + right) / 2, height - 12, y, anchor="middle"))
    for index, label in enumerate(labels):
        top = TOP + row * index
        shown = label if len(label) <= LABEL_LENGTH_MAX else f"{label[:LABEL_LENGTH_MAX]}…"
        parts.append(_text(left - 8, top + row / 2, shown, anchor="end"))
        for number, column in enumerate(series.values()):
            value = column[index]
            if value and value > 0:
                width, at = across.place(value) * (right - left), top + 4 + 14 * number
                colour = COLOURS[number % len(COLOURS)]
                parts.append(f'<rect x="{left}" y="{at}" width="{width:.1f}" height="12" fill="{colour}"/>')
                parts.append(_text(left + width + 4, at + 10, f"{value:,.10g}", size=10))
    for number, name in enumerate(series):
        at = TOP + 10 + number * 18
        parts.append(f'<rect x="{right + 34}" y="{at - 9}" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(_text(right + 48, at, name))
    return "\n".join([*parts, "</svg>\n"])


def _exists(point: tuple[float, float], log_x: bool, log_y: bool) -> bool:
    return not (log_x and point[0] <= 0) and not (log_y and point[1] <= 0)


def _axis(label: str, values: list[float], logarithmic: bool) -> Axis:
    low, high = min(values), max(values)
    if logarithmic:
        low, high = 10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high))
        return Axis(label, low, high if high > low else low * 10, True)
    return Axis(label, min(0.0, low), high * 1.05 or 1.0, False)


def _round_step(least: float) -> float:
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _x(axis: Axis, value: float) -> float:
    return LEFT + axis.place(value) * (WIDTH - LEFT - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.place(value) * (HEIGHT - TOP - BOTTOM)


def _frame(across: Axis, up: Axis) -> list[str]:
    parts = []
    for tick in across.ticks():
        at = _x(across, tick)
        parts += [_line(at, TOP, at, HEIGHT - BOTTOM), _text(at, HEIGHT - BOTTOM + 18, f"{tick:,.10g}", anchor="middle")]
    for tick in up.ticks():
        at = _y(up, tick)
        parts += [_line(LEFT, at, WIDTH - RIGHT, at), _text(LEFT - 6, at + 4, f"{tick:,.10g}", anchor="end")]
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across.label, anchor="middle"))
    parts.append(f'<g transform="rotate(-90 16 {middle:.0f})">{_text(16, middle, up.label, anchor="middle")}</g>')
    return parts


def _series(index: int, name: str, points: Points) -> list[str]:
    colour, legend = COLOURS[index % len(COLOURS)], TOP + 10 + index * 18
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        f'<rect x="{WIDTH - RIGHT + 16}" y="{legend - 9}" width="10" height="10" fill="{colour}"/>',
        _text(WIDTH - RIGHT + 32, legend, name),
    ]


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
