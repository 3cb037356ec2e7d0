"""Small made-up clips whose masks are known: textured objects moving over a textured scene under a moving camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scene:
    """`frames` [T, H, W, 3] uint8 and the `masks` [T, H, W, N] bool of what is visible of each object."""

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]


def texture(
    height: int, width: int, *, colour: tuple[int, int, int], seed: int, grain: float = 3.0
) -> NDArray[np.float32]:
    """[h, w, 3] smooth noise around a colour."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3)).astype(np.float32)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), grain))
    return np.clip(np.array(colour) + 28 * noise / noise.std(), 0, 255).astype(np.float32)


def crossing(length: int = 20, *, height: int = 120, width: int = 200, pan: float = 1.0) -> Scene:
    """A disc walks right behind a box that walks left; the camera pans. Object 0 is the box (in front), 1 the disc."""
    scene = texture(height, width + 80, colour=(110, 140, 90), seed=1)
    paint = [texture(60, 60, colour=(190, 80, 60), seed=2), texture(60, 60, colour=(60, 70, 190), seed=3)]
    y, x = np.mgrid[0:height, 0:width]
    frames, masks = [], []
    for t in range(length):
        at = t / (length - 1)
        box, disc = 150 - 100 * at, 45 + 110 * at  # left edge of one, centre of the other
        front = (abs(x - box - 15) < 15) & (abs(y - 62) < 26)
        behind = ((x - disc) ** 2 + (y - 58) ** 2 < 21**2) & ~front
        left = 20 + round(pan * t)
        frame = scene[:, left : left + width].copy()
        frame[behind] = paint[1][(y - 30) % 60, (x - round(disc) + 30) % 60][behind]
        frame[front] = paint[0][(y - 30) % 60, (x - round(box)) % 60][front]
        frames.append(np.clip(frame + np.random.default_rng(100 + t).normal(0, 2, frame.shape), 0, 255))
        masks.append(np.stack([front, behind], -1))
    return Scene(np.stack(frames).astype(np.uint8), np.stack(masks))
