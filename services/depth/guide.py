"""What the depth network is shown of one frame, and how an object's depth is read from its answer. Pure functions.

An object stands on the ground at one place, its contact; the lower the contact in the picture, the nearer the object.
That rule is drawn for the network as a picture of its own; the network corrects it where the object is in the air, cut
off by the frame, or hidden, and fills in the ground and what is far away.
Must not know: artifacts, stages, or the network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

CHANNELS = 6
MULTIPLE = 16
SMALLEST = 6
"""Fewer visible pixels at base resolution than this, and an object counts as unseen."""
_LOWER_PART = 0.35


def contact_row(mask: Bytes) -> float | None:
    """Row (0 top .. 1 bottom) where the visible object [h, w] ends below; None where it is unseen.

    A few stray pixels below do not count.
    """
    rows = np.nonzero(mask)[0]
    if len(rows) < SMALLEST:
        return None
    return float((np.quantile(rows, 0.98) + 1) / mask.shape[0])


def lower_part(mask: Bytes) -> NDArray[np.bool_]:
    """The part of the object [h, w] beside its contact, where its depth is best known. Empty where it is unseen."""
    seen = mask > 0
    rows = np.nonzero(seen)[0]
    if len(rows) < SMALLEST:
        return np.zeros_like(seen)
    top = np.quantile(rows, 1 - _LOWER_PART)
    return np.asarray(seen & (np.arange(len(mask))[:, None] >= top))


def guide(frame: Floats, masks: Bytes) -> Floats:
    """The network's input [CHANNELS, h, w] float32: RGB, any object, row, and the rule's row (see the module).

    frame: [h, w, 3] 0..1. masks: [h, w, N] 0 or 255, disjoint.
    """
    height, width = frame.shape[:2]
    row = np.broadcast_to(((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None], (height, width))
    contact = row.copy()
    for i in range(masks.shape[-1]):
        where = contact_row(masks[..., i])
        if where is not None:
            contact[masks[..., i] > 0] = where
    anything = (masks.max(axis=-1) > 0).astype(np.float32)
    stacked = np.concatenate([frame, np.stack([anything, row, contact], axis=-1)], axis=-1)
    return np.ascontiguousarray(stacked.transpose(2, 0, 1), dtype=np.float32)


def object_depths(depth: Floats, masks: Bytes) -> Floats:
    """Depth [N] of each object in one frame from the depth map [h, w]: median near its contact; NaN where unseen."""
    result = np.full(masks.shape[-1], np.nan, np.float32)
    for i in range(masks.shape[-1]):
        part = lower_part(masks[..., i])
        if part.any():
            result[i] = np.median(depth[part])
    return result
