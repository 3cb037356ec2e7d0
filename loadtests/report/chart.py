"""Small line charts as SVG, to stand in a page. Must not know: what is drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

_WIDTH, _HEIGHT = 620, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 12, 26
_COLOURS = ("#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#737373", "#0891b2", "#be185d", "#a16207")

Line = Sequence[float | None]


def lines(
    title: str, t: Sequence[float], series: Mapping[str, Line], *, marks: Iterable[tuple[float, str]] = ()
) -> str:
    """A chart of `series` over `t` seconds; a None breaks its line. marks: (seconds, words) of what was done."""
    values = [value for line in series.values() for value in line if value is not None]
    if not t or not values:
        return ""
    top = _nice(max(values) or 1.0)
    last = max(t)

    def x(seconds: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * seconds / last

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * value / top

    body = [_grid(top, last, x, y)]
    for seconds, words in marks:
        body.append(
            f'<g class="mark"><line x1="{x(seconds):.1f}" x2="{x(seconds):.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f"<title>{escape(words)} ({seconds:.0f} s)</title></g>"
        )
    legend = []
    for (name, line), colour in zip(series.items(), _COLOURS * 3, strict=False):
        body += [_path(points, colour) for points in _pieces(t, line, x, y)]
        legend.append(f'<span><i style="background:{colour}"></i>{escape(name)}</span>')
    return (
        f"<figure><figcaption>{escape(title)}<span class='legend'>{''.join(legend)}</span></figcaption>"
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">{"".join(body)}</svg></figure>'
    )


def _grid(top: float, last: float, x, y) -> str:  # type: ignore[no-untyped-def]
    rows = []
    for i in range(5):
        value = top * i / 4
        rows.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for i in range(5):
        seconds = last * i / 4
        anchor = ("start", "middle", "middle", "middle", "end")[i]
        rows.append(f'<text x="{x(seconds):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{_clock(seconds)}</text>')
    return "".join(rows)


def _pieces(t: Sequence[float], line: Line, x, y) -> list[list[str]]:  # type: ignore[no-untyped-def]
    pieces: list[list[str]] = [[]]
    for seconds, value in zip(t, line, strict=True):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{x(seconds):.1f},{y(value):.1f}")
    return [piece for piece in pieces if piece]


def _path(points: Sequence[str], colour: str) -> str:
    if len(points) == 1:
        at = points[0].split(",")
        return f'<circle cx="{at[0]}" cy="{at[1]}" r="2" fill="{colour}"/>'
    return f'<polyline points="{" ".join(points)}" stroke="{colour}"/>'


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 5, 8, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value * 0.999)


def _clock(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 600
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
