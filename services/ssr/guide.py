"""What the super-resolution network is shown of one frame.

The original frame knows all the detail that Casper's small result has lost. Four pictures at working resolution tell
which of it may come back: C, Casper's result enlarged; I, the original; L, the original reduced and enlarged in the
same way as C, so that I - L is the detail and C - L is what Casper changed; and the trimask. Pure functions on arrays.
Must not know: artifacts, stages, or the network.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames

Image = NDArray[np.float32]

KEEP, UNSURE, REMOVE = 1.0, 0.5, 0.0
CHANNELS = 10
MULTIPLE = 4
# Masks are drawn to the pixel at best, and a removed object's fringe must not pass for background detail.
_GROWN = 2


def enlarge(image: NDArray[np.floating], height: int, width: int) -> Image:
    """[h, w, 3] at working resolution: bicubic where it grows, area-averaged where it shrinks; float32 0..1."""
    source = image.astype(np.float32)
    shrinks = height * width < source.shape[0] * source.shape[1]
    scaled = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.clip(scaled, 0, 1)


def trimask(masks: NDArray[np.uint8], *, keep: Sequence[int], height: int, width: int) -> Image:
    """One frame's trimask [height, width] from object masks [H, W, N] (0 or 255): keep 1, unsure 0.5, remove 0.

    The rules are those of Casper (paper section 3.2): where both claim a pixel, what goes wins.
    """
    result = np.full((height, width), UNSURE, np.float32)
    kernel = np.ones((2 * _GROWN + 1, 2 * _GROWN + 1), np.uint8)
    removed = [i for i in range(masks.shape[-1]) if i not in keep]
    for channel, value in [(i, KEEP) for i in keep] + [(i, REMOVE) for i in removed]:
        mask = np.ascontiguousarray(masks[..., channel])
        small = cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)
        seen = np.where(small >= 64, 255, 0).astype(np.uint8)
        result[cv2.dilate(seen, kernel) > 0] = value
    return result


def guide(*, casper: NDArray[np.floating], base: NDArray[np.uint8], image: Image, tri: Image) -> Image:
    """The network's input [CHANNELS, H, W] float32: C, I, L, trimask.

    casper: Casper's result at base resolution [h, w, 3], 0..1. base: the original at base resolution, uint8, as Casper
    saw it. image: the original at working resolution [H, W, 3], 0..1. tri: `trimask` [H, W].
    """
    height, width = image.shape[:2]
    enlarged = enlarge(casper, height, width)
    low = enlarge(frames.to_float(base), height, width)
    stacked = np.concatenate([enlarged, image, low, tri[..., None]], axis=-1)
    return np.ascontiguousarray(stacked.transpose(2, 0, 1))


def padded(guides: Image) -> Image:
    """[..., H, W] with H and W raised to multiples of MULTIPLE by repeating the edge."""
    height, width = guides.shape[-2:]
    down, right = -height % MULTIPLE, -width % MULTIPLE
    if down == right == 0:
        return guides
    unchanged = [(0, 0)] * (guides.ndim - 2)
    return np.pad(guides, [*unchanged, (0, down), (0, right)], mode="edge")
