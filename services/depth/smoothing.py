"""Depth over time: frames are estimated one by one, and what flickers between them is noise.

Must not know: artifacts, stages, or how depth was estimated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_REACH = 4


def median_of_three(maps: Iterable[Floats]) -> Iterator[Floats]:
    """Each map replaced by the median of itself and its neighbours; as many maps as came in, three in memory.

    A median, unlike a mean, does not smear the edge of what moves.
    """
    before: Floats | None = None
    now: Floats | None = None
    for after in maps:
        if now is not None:
            yield now if before is None else np.median(np.stack([before, now, after]), axis=0).astype(np.float32)
        before, now = now, after
    if now is not None:
        yield now


def smooth_tracks(depths: Floats, *, reach: int = _REACH) -> Floats:
    """Depths [T, N] of objects over time, each value the mean of the middle half of the seen values within `reach`
    frames.

    NaN (unseen) stays NaN and has no say elsewhere.
    """
    result = np.full_like(depths, np.nan)
    for t, n in np.argwhere(~np.isnan(depths)):
        near = depths[max(0, t - reach) : t + reach + 1, n]
        values = np.sort(near[~np.isnan(near)])
        cut = len(values) // 4
        result[t, n] = values[cut : len(values) - cut].mean()
    return result
