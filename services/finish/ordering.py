"""The clip's layer order: evidence of occlusion gathered from alphas and masks, joined with depth.

Must not know: how pairs become an order (services/order.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services import order
from services.finish.sources import Floats, Sources

COVERED = 0.5
"""Alpha from which on a layer counts as the object itself rather than its shadow."""


def of_clip(sources: Sources, check: Callable[[], None]) -> NDArray[np.int64]:
    """[T, M]: in every frame, positions of the composited objects front to back."""
    if not sources.composited:
        return np.zeros((sources.frames, 0), dtype=np.int64)
    parts, enough = [], 32.0
    for block in sources.blocks():
        check()
        alpha, masks = sources.working(block)
        enough = max(16.0, 1e-4 * alpha.shape[1] * alpha.shape[2])
        parts.append(evidence(alpha, masks[..., sources.composited]))
    depth: Any = np.asarray(sources.inputs["depth"].array("objects")[:])
    return order.per_frame(depth[:, sources.composited], np.concatenate(parts), enough=enough)


def evidence(alpha: Floats, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Pixels of each object that another's visible mask covers, [t, M, M] (services/order.py).

    alpha: [t, h, w, M] completed alphas; masks: [t, h, w, M] visible masks. Masks are shrunk by a pixel, since along
    a line of contact alpha and mask overlap a little whoever is in front.
    """
    frames, _, _, objects = alpha.shape
    found = np.zeros((frames, objects, objects))
    core = np.ones((3, 3), dtype=np.uint8)
    for t in range(frames):
        solid = [alpha[t, ..., i] >= COVERED for i in range(objects)]
        for j in range(objects):
            seen = np.asarray(cv2.erode(masks[t, ..., j].astype(np.uint8), core)) > 0
            for i in range(objects):
                if i != j:
                    found[t, i, j] = np.count_nonzero(solid[i] & seen)
    return found
