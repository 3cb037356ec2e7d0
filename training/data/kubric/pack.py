"""Turns the rendered passes of a scene into the on-disk scene that every table reads. Knows no Blender."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.scenes import Scene

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Passes:
    """What was rendered of a scene of N things.

    Attributes:
        video: [T, H, W, 3] uint8.
        background: [T, H, W, 3] uint8.
        solos: [N, T, H, W, 3] uint8; of a single thing the solo is the video.
        index: [T, H, W] integers: the thing seen in a pixel's middle counted from 1, or 0.
        distance: [T, H, W] float from the camera, 0 where nothing is hit.
    """

    video: Bytes
    background: Bytes
    solos: Bytes
    index: NDArray[np.int64]
    distance: NDArray[np.float32]


def masks(index: NDArray[np.int64], *, objects: int) -> Bytes:
    """The visible part of every thing, [T, H, W, N] uint8 0 or 255."""
    inside = index[..., None] == np.arange(1, objects + 1)
    return inside.astype(np.uint8) * np.uint8(255)


def nearness(distance: NDArray[np.float32]) -> Bytes:
    """Inverse distance [T, H, W] uint8 over the whole clip: 255 at its nearest pixel, 0 where nothing is hit."""
    hit = distance > 0
    if not hit.any():
        return np.zeros(distance.shape, np.uint8)
    inverse = np.where(hit, 1.0 / np.maximum(distance, 1e-6), 0.0)
    low, high = float(inverse.min()), float(inverse.max())
    return np.rint(255.0 * (inverse - low) / max(high - low, 1e-9)).astype(np.uint8)


def pack(name: str, passes: Passes, *, order: Bytes, caption: str) -> Scene:
    """The scene of `passes`; `order` [T, N] is from back to front.

    Raises ValueError if the passes differ in length or size.
    """
    shape = passes.video.shape
    for label, images in (("background", passes.background), ("solos", passes.solos[0])):
        if images.shape != shape:
            raise ValueError(f"{name}: {label} is {images.shape}, the video {shape}: render the scene again")
    if passes.index.shape != shape[:3] or passes.distance.shape != shape[:3]:
        raise ValueError(f"{name}: masks or depth do not fit the video {shape}: render the scene again")
    return Scene(
        name=name,
        category="kubric",
        video=passes.video,
        masks=masks(passes.index, objects=len(passes.solos)),
        background=passes.background,
        solos=passes.solos,
        depth=nearness(passes.distance),
        order=order,
        caption=caption,
    )
