"""Video-Depth-Anything's windows over a long clip. Pure functions (Chen et al., 2025, section 3.3, and its code).

Windows of 32 frames. A window after the first one is shown 10 frames again: two key frames from further back, by which
its scale and shift are found, and the 8 frames just before its new ones, over which it is faded in.

    first window     0 .. 31
    a later window   [first, thirteenth and last eight of what the window before was shown] + 22 new ones

So the very first frame of the clip is in every window: scales are tied to it all along.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WINDOW = 32
KEPT = (0, 12, 24, 25, 26, 27, 28, 29, 30, 31)
"""Positions in a window that the next one is shown first."""
KEYS = 2
FADE = 8
OVERLAP = KEYS + FADE
STEP = WINDOW - OVERLAP


def plan(total: int) -> tuple[tuple[int, ...], ...]:
    """Per window, the 32 frames that it is shown; past its end the clip's last frame is repeated."""
    windows: list[tuple[int, ...]] = []
    for start in range(0, total, STEP):
        fresh = tuple(min(t, total - 1) for t in range(start, start + WINDOW))
        windows.append((*(windows[-1][i] for i in KEPT), *fresh[OVERLAP:]) if windows else fresh)
    return tuple(windows)


def joined(results: Iterable[Floats], total: int) -> Iterator[tuple[int, Floats]]:
    """(first frame, disparity [t, h, w]) of the clip from the windows' results [32, h, w]; every frame once, in order.

    Each window is brought to the scale and shift of its key frames, and faded in. Holds one window.
    """
    keys = np.zeros((0,), np.float32)
    held = np.zeros((0,), np.float32)
    first = 0
    for window, result in enumerate(results):
        if window == 0:
            settled, keys = result, result[list(KEPT[:KEYS])]
        else:
            scale, shift = scale_and_shift(result[:KEYS], keys)
            aligned = np.maximum(result * np.float32(scale) + np.float32(shift), 0)
            fade = np.linspace(0, 1, FADE, dtype=np.float32)[:, None, None]
            faded = held * (1 - fade) + aligned[KEYS:OVERLAP] * fade
            settled = np.concatenate([faded, aligned[OVERLAP:]])
            keys = np.concatenate([keys[:1], aligned[list(KEPT[1:KEYS])]])
        ready, held = settled[:-FADE], settled[-FADE:]
        if first + len(ready) >= total:
            yield first, ready[: total - first]
            return
        yield first, ready
        first += len(ready)


def scale_and_shift(source: Floats, target: Floats) -> tuple[float, float]:
    """Least squares: scale * source + shift closest to target. (1, 0) if `source` is flat."""
    x, y = source.astype(np.float64).ravel(), target.astype(np.float64).ravel()
    spread = len(x) * (x * x).sum() - x.sum() ** 2
    if not spread > 1e-12 * len(x) * (x * x).sum():
        return 1.0, 0.0
    scale = (len(x) * (x * y).sum() - x.sum() * y.sum()) / spread
    return float(scale), float((y.sum() - scale * x.sum()) / len(x))
