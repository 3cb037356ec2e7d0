"""What the super-resolution network is shown of one frame.

The original frame knows all the detail that Casper's small result has lost. Pictures at working resolution tell which
of it may come back: C, Casper's result enlarged; I, the original; L, the original reduced and enlarged in the same way
as C, so that I - L is the detail and C - L is what Casper changed; and the trimask. Behind a removed object the
original knows nothing, but other frames may: P, the plate; Q, the plate reduced and enlarged, so that P - Q is its
detail and Q - C tells how far Casper agrees with it; and how much of the plate was seen. Pure functions on arrays.
Must not know: artifacts, stages, or the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames

Image = NDArray[np.float32]

CHANNELS = 17
MULTIPLE = 4


def enlarge(image: NDArray[np.floating], height: int, width: int) -> Image:
    """[h, w, 3] at working resolution: bicubic where it grows, area-averaged where it shrinks; float32 0..1."""
    source = image.astype(np.float32)
    shrinks = height * width < source.shape[0] * source.shape[1]
    scaled = cv2.resize(source, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.clip(scaled, 0, 1)


@dataclass(frozen=True)
class Backdrop:
    """The plate of one frame at working resolution. rgb: [H, W, 3] 0..1. seen: [H, W] 0..1."""

    rgb: Image
    seen: Image


def guide(*, casper: NDArray[np.floating], base: NDArray[np.uint8], image: Image, tri: Image, plate: Backdrop) -> Image:
    """The network's input [CHANNELS, H, W] float32: C, I, L, trimask, P, Q, seen.

    casper: Casper's result at base resolution [h, w, 3], 0..1. base: the original at base resolution, uint8, as Casper
    saw it. image: the original at working resolution [H, W, 3], 0..1. tri: trimask [H, W].
    """
    height, width = image.shape[:2]
    enlarged = enlarge(casper, height, width)
    low = enlarge(frames.to_float(base), height, width)
    small = frames.resized(plate.rgb[None], *casper.shape[:2])[0]
    plate_low = enlarge(small, height, width)
    parts = [enlarged, image, low, tri[..., None], plate.rgb, plate_low, plate.seen[..., None]]
    stacked = np.concatenate(parts, axis=-1, dtype=np.float32)
    return np.ascontiguousarray(stacked.transpose(2, 0, 1))


def padded(guides: Image) -> Image:
    """[..., H, W] with H and W raised to multiples of MULTIPLE by repeating the edge."""
    height, width = guides.shape[-2:]
    down, right = -height % MULTIPLE, -width % MULTIPLE
    if down == right == 0:
        return guides
    unchanged = [(0, 0)] * (guides.ndim - 2)
    return np.pad(guides, [*unchanged, (0, down), (0, right)], mode="edge")
