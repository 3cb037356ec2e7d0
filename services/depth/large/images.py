"""What the Depth Anything networks are shown of a frame. Pure functions.

Their published preparation: cubic resampling so that both sides are multiples of the patch and the shorter one is 518
(Depth Anything V2, section 7; its code's "lower bound" rule), then ImageNet's mean and deviation.
Must not know: torch, or a network.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from services.depth.large.estimator import Size

Floats = NDArray[np.float32]

PATCH = 14
SHORT_SIDE = 518
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def network_size(height: int, width: int, *, short_side: int = SHORT_SIDE, longest: float) -> Size:
    """Size that the network sees of a frame: shorter side about `short_side`, both multiples of 14, in proportion.

    Beyond an aspect of `longest` the short side shrinks instead, so that the number of patches stays bounded.
    """
    aspect = max(height, width) / min(height, width)
    if aspect > longest:
        short_side = max(PATCH, round(short_side * longest / aspect / PATCH) * PATCH)
    scale = short_side / min(height, width)
    return Size(_rounded(height * scale, short_side), _rounded(width * scale, short_side))


def network_input(frame: Floats, size: Size) -> Floats:
    """[3, h, w] normalised, from a frame [H, W, 3] 0..1."""
    scaled = cv2.resize(frame, (size.width, size.height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(((scaled - MEAN) / DEVIATION).transpose(2, 0, 1), np.float32)


def resized(maps: Floats, size: Size) -> Floats:
    """Maps [t, h, w] at another size, area-averaged where they shrink."""
    shrinks = size.height * size.width < maps.shape[1] * maps.shape[2]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.stack([cv2.resize(each, (size.width, size.height), interpolation=method) for each in maps])


def _rounded(length: float, least: int) -> int:
    """The nearest multiple of the patch, or the next one where that would fall below `least`."""
    nearest = round(length / PATCH) * PATCH
    return int(nearest if nearest >= least else -(-length // PATCH) * PATCH)
