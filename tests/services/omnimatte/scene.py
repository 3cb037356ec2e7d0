"""A small scene whose layers are known exactly: an opaque textured ball, its black shadow and its dim reflection."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """Frames are [T, h, w, C] float32 in 0..1; `mask` is uint8 0 or 255.

    `shadow` and `ball` are the regions of the truth: 1 in the shadow's flat core, 1 inside the ball.
    """

    solo: Array
    background: Array
    alpha: Array
    mask: NDArray[np.uint8]
    ball: NDArray[np.bool_]
    shadow: NDArray[np.bool_]
    far: NDArray[np.bool_]


def texture(rng: np.random.Generator, height: int, width: int) -> Array:
    """[h, w, 3] smooth natural-looking noise between 0.25 and 0.85."""
    image = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((4, 1.0), (12, 0.5), (36, 0.25)):
        coarse = rng.random((max(2, cells * height // width), cells, 3), dtype=np.float32)
        image += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image -= image.min()
    return 0.25 + 0.6 * image / image.max()


def render(*, frames: int = 6, height: int = 96, width: int = 160, darkening: float = 0.5, seed: int = 0) -> Scene:
    """The ball moves from left to right; its shadow lies to its right, its reflection below it."""
    rng = np.random.default_rng(seed)
    background = np.broadcast_to(texture(rng, height, width), (frames, height, width, 3)).copy()
    skin = 0.6 * texture(rng, height, width) * np.array([1.0, 0.5, 0.3], np.float32)
    radius = 0.16 * height
    grid_y, grid_x = np.mgrid[:height, :width].astype(np.float32)
    solo, alphas, masks, balls, shadows, fars = [], [], [], [], [], []
    for t in range(frames):
        x, y = width * (0.25 + 0.25 * t / max(1, frames - 1)), 0.4 * height
        ball = np.clip(radius - np.hypot(grid_x - x, grid_y - y) + 0.5, 0, 1)
        mirror = np.clip(radius - np.hypot(grid_x - x, grid_y - y - 2 * radius) + 0.5, 0, 1)
        distance = np.hypot((grid_x - x - 2.2 * radius) / 1.8, (grid_y - y - 1.2 * radius) / 0.6)
        shade = np.clip((radius - distance) / (0.3 * radius), 0, 1)

        over = 0.3 * mirror * (1 - ball)
        under = darkening * shade * (1 - over / np.maximum(1 - ball, 1e-6)) * (1 - ball)
        alpha = ball + over + under
        layer = skin * (ball + over)[..., None]
        solo.append(layer + (1 - alpha)[..., None] * background[t])
        alphas.append(alpha[..., None])
        masks.append(np.where(ball > 0.5, 255, 0)[..., None])
        balls.append(cv2.erode((ball > 0.999).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
        shadows.append((shade > 0.999) & (mirror + ball == 0))
        near = np.maximum.reduce([ball, mirror, (shade > 0).astype(np.float32)])
        fars.append(cv2.dilate(near, np.ones((21, 21), np.uint8)) == 0)
    return Scene(
        solo=np.stack(solo).astype(np.float32),
        background=background,
        alpha=np.stack(alphas).astype(np.float32),
        mask=np.stack(masks).astype(np.uint8),
        ball=np.stack(balls),
        shadow=np.stack(shadows),
        far=np.stack(fars),
    )


def resized(frames: Array, height: int, width: int) -> Array:
    """Area resize of [T, H, W, C] float32."""
    small = [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames]
    return np.stack(small).reshape(len(frames), height, width, -1)


def disturbed(frames: Array, *, sigma: float, seed: int = 7) -> Array:
    """`frames` as a generator would give them: with grain of standard deviation `sigma` and slow colour drift."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, sigma, frames.shape).astype(np.float32)
    drift = rng.normal(0, sigma / 2, (len(frames), 1, 1, 3)).astype(np.float32)
    return np.clip(frames + noise + drift, 0, 1)
