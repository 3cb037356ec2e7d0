"""Masks of one frame as files that a browser shows.

Must not know: how they were found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.artifacts import Draft


def put_masks(draft: Draft, masks: NDArray[np.uint8], labels: Sequence[str]) -> Mapping[str, Any]:
    """Write masks [H, W, N] uint8 0 or 255 as PNG files; returns the artifact's meta."""
    height, width, _ = masks.shape
    for i, label in enumerate(labels):
        _, png = cv2.imencode(".png", np.ascontiguousarray(masks[..., i]))
        draft.put(f"masks/{label}.png", png.tobytes())
    coverage = [round(float((masks[..., i] > 0).mean()), 6) for i in range(len(labels))]
    return {"height": height, "width": width, "labels": list(labels), "coverage": coverage}
