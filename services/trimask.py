"""Trimasks (paper section 3.2): what is to be kept, what removed, and what a stage must judge for itself.

Values: 1 keep, 0.5 unsure (background, where effects may have to go), 0 remove. Rules, in this order:
1. kept objects and the user's preserve regions are painted 1,
2. removed objects are painted 0 and win wherever both claim a pixel: a sliver of the object that stays behind ruins a
   clean plate, while a kept pixel that is repainted is taken back from the input by detail transfer.
Objects are grown by `dilation` pixels first, because masks are never exact.
Must not know: which stage asks, or at which resolution.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

KEEP, UNSURE, REMOVE = 1.0, 0.5, 0.0
DILATION = 2
_COVERED = 64


def scaled(masks: Bytes, *, height: int, width: int) -> Bytes:
    """Masks [H, W] or [H, W, N] (0 or 255) at another size; a pixel at least a quarter covered is its object's."""
    if masks.ndim == 3:
        return np.stack([scaled(masks[..., i], height=height, width=width) for i in range(masks.shape[-1])], axis=-1)
    small = cv2.resize(np.ascontiguousarray(masks), (width, height), interpolation=cv2.INTER_AREA)
    return np.where(small >= _COVERED, 255, 0).astype(np.uint8)


def trimask(
    masks: Bytes, *, keep: Sequence[int], preserve: Bytes | None = None, dilation: int = DILATION
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


def _grow(mask: Bytes, radius: int) -> NDArray[np.bool_]:
    if radius == 0:
        return mask > 0
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return np.asarray(cv2.dilate(np.ascontiguousarray(mask), kernel) > 0)
