"""Percentiles, windows and quantile tables: the arithmetic of a report. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

PERCENTILES = (50, 90, 95, 99)
_TABLE = 101


def spread(values: Sequence[float]) -> dict[str, float]:
    """count, mean, sd (of the values), p50 to p99 and max; only count for no values."""
    if not values:
        return {"count": 0}
    found = np.asarray(values, dtype=float)
    cuts = {f"p{cut}": _rounded(np.percentile(found, cut)) for cut in PERCENTILES}
    middle = {"mean": _rounded(found.mean()), "sd": _rounded(found.std())}
    return {"count": len(found), **middle, **cuts, "max": _rounded(found.max())}


def quantiles(values: Sequence[float]) -> list[float]:
    """101 values from the least to the greatest, evenly spaced in probability; [] for none."""
    if not values:
        return []
    return [_rounded(one) for one in np.quantile(np.asarray(values, dtype=float), np.linspace(0, 1, _TABLE))]


def windows(
    items: Iterable[T], *, at: Callable[[T], float], duration: float, count: int
) -> list[tuple[float, float, list[T]]]:
    """`count` windows of equal length over [0, duration): (start, end, items of it). What is outside is left out."""
    length = duration / count
    found: list[list[T]] = [[] for _ in range(count)]
    for item in items:
        where = int(at(item) / length)
        if 0 <= where < count:
            found[where].append(item)
    return [(i * length, (i + 1) * length, inside) for i, inside in enumerate(found)]


def _rounded(value: float) -> float:
    return round(float(value), 6)
