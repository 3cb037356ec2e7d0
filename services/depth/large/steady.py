"""One scale for all frames of a clip that were estimated one by one. Pure functions.

A network that sees single frames answers each in a scale and shift of its own, which flicker. Most of a picture hardly
changes from one frame to the next, so each frame is brought to the scale of the one before by what most pixels say:
the median and mean deviation of those that agree, which a moving object does not sway and which, unlike least squares,
do not shrink the range a little with every frame. The correction leaks away, so that errors do not add up over a long clip: flicker goes,
slow changes stay as the network saw them.
Must not know: artifacts, stages, or how depth was estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEAK = 0.02
"""Share of a correction that is forgotten per frame: half of it in 34 frames."""
_KEPT = 0.7
"""Share of the pixels that agree best and decide."""
_LEAST_AGREEMENT = 0.5
"""Correlation of two frames below which nothing links them: a cut."""


def steadied(maps: Iterable[Floats], *, leak: float = LEAK) -> Iterator[Floats]:
    """Each map [h, w] times a scale plus a shift, so that the clip has one scale; one map is held."""
    before: Floats | None = None
    for now in maps:
        if before is not None:
            scale, shift = matched(now, before)
            now = now * np.float32(scale ** (1 - leak)) + np.float32(shift * (1 - leak))
        yield now
        before = now


def matched(source: Floats, target: Floats) -> tuple[float, float]:
    """(scale, shift) with scale * source + shift like `target` on most pixels; (1, 0) where they have little in common.

    Both [h, w]. First from all pixels, then again from those that agree best.
    """
    x, y = source.ravel().astype(np.float64), target.ravel().astype(np.float64)
    scale, shift = _by_medians(x, y)
    error = np.abs(scale * x + shift - y)
    kept = error <= np.quantile(error, _KEPT)
    x, y = x[kept], y[kept]
    if _correlation(x, y) < _LEAST_AGREEMENT:
        return 1.0, 0.0
    return _by_medians(x, y)


def _by_medians(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    middle_x, middle_y = np.median(x), np.median(y)
    spread_x, spread_y = np.mean(np.abs(x - middle_x)), np.mean(np.abs(y - middle_y))
    scale = float(spread_y / spread_x) if spread_x > 0 and spread_y > 0 else 1.0
    return scale, float(middle_y - scale * middle_x)


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """1 also where either is flat: then nothing speaks against a plain shift."""
    x, y = x - x.mean(), y - y.mean()
    length = np.sqrt((x * x).sum() * (y * y).sum())
    return float((x * y).sum() / length) if length > 0 else 1.0
