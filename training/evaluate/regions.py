"""Where a removal is measured: the removed objects, their effects, everything else, and what was to be kept.

A mean over the whole frame hides both failures that matter, since most pixels need no change: an effect left behind,
and a change where none was wanted. So every frame is divided into three disjoint regions that cover it.
Must not know: methods, or where scenes come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.geometry import BASE_SHORT_SIDE
from services.trimask import DILATION, KEEP, REMOVE, trimask

Bytes = NDArray[np.uint8]
Where = NDArray[np.bool_]

CHANGED = 0.02
"""Difference in any colour channel (0..1) from which on truth and input differ: five codes of 255, beyond rounding."""


@dataclass(frozen=True)
class Regions:
    """Boolean maps [T, h, w]; `removed`, `effect` and `outside` are disjoint and cover every pixel.

    Attributes:
        removed: the trimask's 0, the removed objects' masks grown as Casper's are.
        effect: outside of it, where the truth differs from the input by more than CHANGED in any channel.
        outside: the rest; a perfect method copies it.
        kept: inside the kept objects' masks, less `removed` (overlaps `effect` and `outside`).
    """

    removed: Where
    effect: Where
    outside: Where
    kept: Where

    @property
    def changed(self) -> Where:
        """`removed` and `effect` together."""
        return self.removed | self.effect


def trimasks(masks: Bytes, *, keep: Sequence[int]) -> NDArray[np.float32]:
    """Trimasks [T, h, w] of 0, 0.5 and 1 from masks [T, h, w, N], grown by what Casper's dilation is at this size."""
    scale = min(masks.shape[1:3]) / BASE_SHORT_SIDE
    dilation = max(1, round(DILATION * scale))
    return np.stack([trimask(mask, keep=keep, dilation=dilation) for mask in masks])


def regions(video: Bytes, truth: Bytes, masks: Bytes, *, keep: Sequence[int]) -> Regions:
    """The regions of one run.

    video, truth: [T, h, w, 3] uint8. masks: [T, h, w, N] uint8 0 or 255. keep: channels of the objects that stay.
    """
    tri = trimasks(masks, keep=keep)
    removed = tri == REMOVE
    difference = cv2.absdiff(video, truth).max(axis=-1)
    effect = (difference > CHANGED * 255) & ~removed
    own = np.zeros(removed.shape, np.bool_)
    for channel in keep:
        own |= masks[..., channel] > 0
    assert not (removed & (tri == KEEP)).any()
    return Regions(removed=removed, effect=effect, outside=~(removed | effect), kept=own & ~removed)
