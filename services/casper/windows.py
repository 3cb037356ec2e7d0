"""Temporal multidiffusion (paper section 3.2) as three pure functions: plan the windows, weigh them, blend them.

In every denoising step each window of a long clip is denoised on its own; where windows overlap, their results are
blended with ramps that sum to one. The step after starts from the blend, so that neighbouring windows agree more and
more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Video = NDArray[np.float32]


@dataclass(frozen=True)
class Window:
    """Frames [start, stop)."""

    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_windows(frames: int, *, window: int, overlap: int) -> tuple[Window, ...]:
    """Windows of `window` frames that cover `frames`, neighbours sharing at least `overlap`.

    All have full length unless the clip is shorter than one: the last is shifted back, not cut short, because the
    network was trained on full windows. No window starts or ends where another does, except at the clip's ends.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than the window {window}")
    if frames <= window:
        return (Window(0, frames),)
    count = -(-(frames - overlap) // (window - overlap))
    # Spread the surplus over all overlaps rather than giving it to the last one.
    starts = [round(i * (frames - window) / (count - 1)) for i in range(count)]
    return tuple(Window(start, start + window) for start in starts)


def blend_weights(windows: tuple[Window, ...]) -> tuple[NDArray[np.float32], ...]:
    """Per window, a weight [len(window)] for each of its frames; over every frame of the clip they sum to 1.

    Linear ramps over the overlap with each neighbour, as tent functions that are then normalised.
    """
    total = np.zeros(max(w.stop for w in windows), np.float64)
    raw = []
    for i, window in enumerate(windows):
        weight = np.ones(len(window))
        if i > 0:
            shared = windows[i - 1].stop - window.start
            weight[:shared] = np.minimum(weight[:shared], np.arange(1, shared + 1) / (shared + 1))
        if i + 1 < len(windows):
            shared = window.stop - windows[i + 1].start
            weight[-shared or len(window) :] = np.minimum(
                weight[-shared or len(window) :], np.arange(shared, 0, -1) / (shared + 1)
            )
        raw.append(weight)
        total[window.start : window.stop] += weight
    return tuple((weight / total[w.start : w.stop]).astype(np.float32) for w, weight in zip(windows, raw, strict=True))


def blended(
    windows: tuple[Window, ...], results: Iterable[Video], weights: tuple[NDArray[np.float32], ...]
) -> Iterator[tuple[int, Video]]:
    """Blend window results [t, ...] as they arrive; yields (first frame, finished frames), in order.

    Holds only the frames that a later window still adds to.
    """
    held = np.zeros((0,), np.float32)
    first = 0
    for i, (window, result, weight) in enumerate(zip(windows, results, weights, strict=True)):
        part = result * weight.reshape(-1, *[1] * (result.ndim - 1))
        known = max(0, first + len(held) - window.start)
        if known:
            held[window.start - first :] += part[:known]
        held = np.concatenate([held, part[known:]]) if len(held) else part[known:]
        settled = windows[i + 1].start if i + 1 < len(windows) else window.stop
        yield first, held[: settled - first]
        held, first = held[settled - first :], settled
