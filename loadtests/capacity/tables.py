"""Tables in Markdown, and one chart as SVG, without any library. Plain text in, plain text out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 420, 70, 60, 40
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad")


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def seconds(value: float) -> str:
    """So that people can read it: 42 s, 7.5 min, 3.1 h."""
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, and points (x, y), all above 0."""

    name: str
    points: Sequence[tuple[float, float]]


def chart(title: str, *, x: str, y: str, lines: Sequence[Line]) -> str:
    """An SVG with both axes logarithmic, from one power of ten to another."""
    points = [point for line in lines for point in line.points]
    across, up = _decades([point[0] for point in points]), _decades([point[1] for point in points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="22" font-size="15">{_safe(title)}</text>',
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT - 14}" text-anchor="middle">{_safe(x)}</text>',
        f'<text transform="translate(16 {_HEIGHT / 2}) rotate(-90)" text-anchor="middle">{_safe(y)}</text>',
    ]
    for power in range(across[0], across[1] + 1):
        at = _across(10.0**power, across)
        parts += [
            f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{_HEIGHT - _BOTTOM}" stroke="#ddd"/>',
            f'<text x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{10.0**power:g}</text>',
        ]
    for power in range(up[0], up[1] + 1):
        at = _up(10.0**power, up)
        parts += [
            f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{_WIDTH - 20}" y2="{at:.1f}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10.0**power:g}</text>',
        ]
    for number, line in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{_across(px, across):.1f},{_up(py, up):.1f}" for px, py in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="3" fill="{colour}"/>' for p in path.split()
        ]
        parts.append(f'<text x="{_LEFT + 12}" y="{_TOP + 18 + 16 * number}" fill="{colour}">{_safe(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten that enclose the values, at least one decade apart."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return low, max(high, low + 1)


def _across(value: float, decades: tuple[int, int]) -> float:
    share = (math.log10(value) - decades[0]) / (decades[1] - decades[0])
    return _LEFT + share * (_WIDTH - 20 - _LEFT)


def _up(value: float, decades: tuple[int, int]) -> float:
    share = (math.log10(value) - decades[0]) / (decades[1] - decades[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _BOTTOM - _TOP)


def _safe(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
