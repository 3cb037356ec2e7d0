"""Training samples for depth: synthesised frames whose ground is a plane and whose objects stand on it.

Depth is 0 at the horizon and beyond, 1 where the ground meets the bottom of the frame, and grows evenly with the row in
between (so it is an inverse distance, as monocular networks estimate). An object is an upright plane at the depth of
the place where it touches the ground, or would if it fell. On part of the samples the ground is laid out in
perspective, under another picture's upper part, so that the horizon can be seen; on the rest nothing tells where it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.depth import guide
from services.geometry import BASE_SHORT_SIDE
from training.data.assets import Assets, Image, Split, find, load_photo
from training.data.augment import tracked
from training.data.crops import maybe_mirrored
from training.data.object_paste import synthesise
from training.data.pool import reused, worker_rng

HEIGHT, WIDTH = BASE_SHORT_SIDE, 224
MOST_OBJECTS = 3

Array = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Scene:
    """One frame.

    frame: [h, w, 3], 0..1. masks: [h, w, N] uint8 0 or 255, drawn from back to front, so that a later object hides an
    earlier one. depth: [h, w], 0 far .. 1 near. depths: [N], each object's.
    """

    frame: Array
    masks: NDArray[np.uint8]
    depth: Array
    depths: Array


def make_scene(assets: Assets, rng: Rng) -> Scene:
    """One random frame with 1-3 objects."""
    clip = synthesise(assets, rng, times=np.zeros(1, np.float32), height=HEIGHT, width=WIDTH)
    feet = np.array([float(layer.depth[0]) for layer in clip.layers], np.float32)
    horizon = float(rng.uniform(0.03, max(0.05, min(feet.min() - 0.1, 0.6))))
    if rng.random() < 0.6:
        clip = replace(clip, background=_ground(assets, rng, horizon)[None])
    count = len(clip.layers)
    frame = clip.draw(range(count))[0]
    visible = [clip.visible(i)[0] for i in range(count)]

    rows: Array = ((np.arange(HEIGHT) + 0.5) / HEIGHT).astype(np.float32)
    depth = np.repeat(_depth_of(rows, horizon)[:, None], WIDTH, axis=1)
    depths = _depth_of(feet.astype(np.float32), horizon)
    for shown, near in zip(visible, depths, strict=True):
        depth[shown > 0.5] = near
    masks = np.stack([_mask(shown, rng) for shown in visible], axis=-1)
    return Scene(frame, masks, depth, depths)


def _depth_of(rows: Array, horizon: float) -> Array:
    return np.clip((rows - horizon) / (1 - horizon), 0, 1).astype(np.float32)


def _mask(visible: Array, rng: Rng) -> NDArray[np.uint8]:
    return tracked(visible[None], int(rng.integers(-1, 2)))[0]


def _ground(assets: Assets, rng: Rng, horizon: float) -> Image:
    """A photograph laid on the ground in perspective, another one's upper part behind it: [HEIGHT, WIDTH, 3]."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    below = np.maximum(rows / HEIGHT - horizon, 0.004)
    distance = 1 / below
    density = float(rng.uniform(12, 60))
    across = (columns - WIDTH * rng.uniform(0.2, 0.8)) / WIDTH * distance * density
    turn = rng.uniform(0, 2 * np.pi)
    along = distance * density * 0.6
    xs = np.cos(turn) * across - np.sin(turn) * along + rng.uniform(0, 2000)
    ys = np.sin(turn) * across + np.cos(turn) * along + rng.uniform(0, 2000)
    photo = _photo(assets, rng)
    # Far ground is seen coarsely; without this it would glitter.
    canvas = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for sigma, level in ((0, 0), (4, 1), (16, 2)):
        source = cv2.GaussianBlur(photo, (0, 0), sigma) if sigma else photo
        warped = cv2.remap(source, *_reflected(xs, ys, photo), cv2.INTER_LINEAR)
        needed = np.clip(1 - np.abs(np.clip(np.log2(density * 0.02 * distance) / 2, 0, 2) - level), 0, 1)
        canvas += warped * needed[..., None]
    far = _photo(assets, rng)
    top = max(1, int(horizon * HEIGHT))
    upper = far[: max(8, int(far.shape[0] * rng.uniform(0.3, 0.7)))]
    canvas[:top] = cv2.resize(upper, (WIDTH, top), interpolation=cv2.INTER_AREA)
    haze = np.clip(1 - below / rng.uniform(0.05, 0.4), 0, 1)[..., None] * rng.uniform(0, 0.8)
    haze[:top] *= rng.uniform(0, 1)
    colour = upper[-4:].mean(axis=(0, 1)) * 0.7 + 0.3 * rng.uniform(0.3, 1)
    return np.clip(canvas * (1 - haze) + colour * haze, 0, 1).astype(np.float32)


def _reflected(xs: Array, ys: Array, photo: Image) -> tuple[Array, Array]:
    """Coordinates folded into the photograph, however far outside they are."""
    folded = []
    for value, size in ((xs, photo.shape[1] - 1), (ys, photo.shape[0] - 1)):
        rest = np.mod(value, 2 * size)
        folded.append(np.where(rest > size, 2 * size - rest, rest).astype(np.float32))
    return folded[0], folded[1]


def _photo(assets: Assets, rng: Rng) -> Image:
    photo = load_photo(assets.photos[rng.integers(len(assets.photos))])
    assert photo is not None
    return np.asarray(np.clip(photo ** np.exp(rng.normal(0, 0.2)), 0, 1), np.float32)


def to_sample(scene: Scene, rng: Rng) -> dict[str, Tensor]:
    """Tensors "guide" [6, h, w], "depth" [1, h, w], "parts" [3, h, w] (lower parts of the objects, back to front)."""
    parts = np.zeros((MOST_OBJECTS, HEIGHT, WIDTH), np.float32)
    for i in range(scene.masks.shape[-1]):
        parts[i] = guide.lower_part(scene.masks[..., i])
    arrays = {"guide": guide.guide(scene.frame, scene.masks), "depth": scene.depth[None], "parts": parts}
    return maybe_mirrored(arrays, rng)


class DepthSamples(torch.utils.data.IterableDataset[dict[str, Tensor]]):
    """An endless, seeded stream of samples. A pool of scenes is drawn from `reuse` times for every new scene."""

    def __init__(self, *, split: Split, seed: int, reuse: int = 3, pool: int = 256) -> None:
        super().__init__()
        self.split, self.seed, self.reuse, self.pool = split, seed, reuse, pool

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rng, assets = worker_rng(self.seed), find(self.split)
        fresh = ((make_scene(assets, rng),) for _ in itertools.count())
        for scene in reused(fresh, rng, size=self.pool, reuse=self.reuse):
            yield to_sample(scene, rng)
