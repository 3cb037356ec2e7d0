"""Trimasks (paper section 3.2): what Casper is told to keep, to remove, and to judge for itself.

Values: 1 keep, 0.5 unsure (background, where effects may have to go), 0 remove. Rules, in this order:
1. kept objects and the user's preserve regions are painted 1,
2. removed objects are painted 0 and win wherever both claim a pixel: a sliver of the object that stays behind ruins a
   clean plate, while a kept pixel that is repainted is taken back from the input by detail transfer.
Both are grown by `dilation` pixels at base resolution first, because masks are never exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

KEEP, UNSURE, REMOVE = 1.0, 0.5, 0.0
DILATION = 2


def to_base(mask: NDArray[np.uint8], *, height: int, width: int) -> NDArray[np.uint8]:
    """Area-resize one mask [H, W] (0 or 255) to base resolution; a pixel at least a quarter covered belongs to it."""
    small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
    return np.where(small >= 64, 255, 0).astype(np.uint8)


def trimask(
    masks: NDArray[np.uint8],
    *,
    keep: Sequence[int],
    preserve: NDArray[np.uint8] | None = None,
    dilation: int = DILATION,
) -> NDArray[np.float32]:
    """One frame's trimask [h, w] from the object masks [h, w, N] (0 or 255) and the channels to `keep`.

    preserve: [h, w] uint8, non-zero where the user wants the input untouched; merged with the kept objects.
    """
    kept = [masks[..., i] for i in keep]
    removed = [masks[..., i] for i in range(masks.shape[-1]) if i not in keep]
    result = np.full(masks.shape[:2], UNSURE, np.float32)
    for mask in kept:
        result[_grow(mask, dilation)] = KEEP
    if preserve is not None:
        result[preserve > 0] = KEEP
    for mask in removed:
        result[_grow(mask, dilation)] = REMOVE
    return result


def _grow(mask: NDArray[np.uint8], radius: int) -> NDArray[np.bool_]:
    if radius == 0:
        return mask > 0
    return cv2.dilate(mask, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)) > 0
