"""One scale for all frames of a clip that were estimated one by one. Pure functions.

A network that sees single frames answers each in a scale and shift of its own, which flicker. Most of a picture hardly
changes from one frame to the next, so each frame is brought to the scale of the one before by what most pixels say: the
median and mean deviation of those that agree, which a moving object does not sway and which, unlike least squares, do
not shrink the range a little with every frame. The correction leaks away, so that errors do not add up over a long
clip: flicker goes, slow changes stay as the network saw them.
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
_NEAR = 0.5
"""Pixels agree if they differ by less than this share of the mean deviation."""
_LEAST = 0.5
"""Fewer of the pixels agree than this share, and nothing links the frames: a cut."""


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
    scale, shift = _by_medians(x, y)
    near = np.abs(scale * x + shift - y) <= _NEAR * np.mean(np.abs(y - np.median(y)))
    return (scale, shift) if near.sum() >= _LEAST * len(error) else (1.0, 0.0)


def _by_medians(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    middle_x, middle_y = np.median(x), np.median(y)
    spread_x, spread_y = np.mean(np.abs(x - middle_x)), np.mean(np.abs(y - middle_y))
    scale = float(spread_y / spread_x) if spread_x > 0 and spread_y > 0 else 1.0
    return scale, float(middle_y - scale * middle_x)
