"""The scenes that tables are made over: the built-in held-out set, and any folder of scenes.

The built-in set is synthesised from photographs and cut-outs that training never sees (training/data/assets.py), from
fixed seeds, one per scene: a longer set begins with the shorter one.
Must not know: methods, or what is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames as sizes
from services.geometry import base_size
from services.trimask import scaled
from training.data import scenes
from training.data.assets import Assets, find
from training.data.object_paste import Clip, Layer, synthesise
from training.data.scenes import Scene

Floats = NDArray[np.float32]

_SEED = 20250610
HEIGHT, WIDTH = 128, 224


def object_paste(count: int, *, frames: int = 8, seed: int = _SEED, assets: Assets | None = None) -> list[Scene]:
    """`count` held-out scenes of `frames` frames at base resolution; `assets` default to the held-out pictures."""
    pictures = find("held-out") if assets is None else assets
    return [_object_paste(pictures, frames=frames, seed=seed, index=index) for index in range(count)]


def _object_paste(assets: Assets, *, frames: int, seed: int, index: int) -> Scene:
    rng = np.random.default_rng([seed, index])
    # Steps of one to four frames: slow clips, in which nothing behind an object is ever seen, and fast ones.
    times = (np.arange(frames) * rng.uniform(1, 4)).astype(np.float32)
    clip = synthesise(assets, rng, times=times, height=HEIGHT, width=WIDTH)
    return from_clip(clip, name=f"object-paste-{index:03d}", rng=rng)


def from_clip(clip: Clip, *, name: str, rng: np.random.Generator) -> Scene:
    """A synthesised clip as a scene. Objects are shuffled, so that their order in the job tells nothing of depth."""
    jobs = rng.permutation(len(clip.layers))  # jobs[i]: the clip's layer that is object i
    count = len(jobs)
    background = clip.draw(())
    masks = [np.where(clip.visible(int(i)) > 0.5, 255, 0).astype(np.uint8) for i in jobs]
    back_to_front = np.argsort(jobs).astype(np.uint8)
    return Scene(
        name=name,
        category="object-paste",
        video=_bytes(clip.draw(range(count))),
        masks=np.stack(masks, axis=-1),
        background=_bytes(background),
        solos=np.stack([_bytes(clip.draw((int(i),))) for i in jobs]),
        layers=np.stack([_bytes(layer_rgba(clip.layers[i], clip.background)) for i in jobs]),
        depth=_depth(clip),
        order=np.repeat(back_to_front[None], len(background), axis=0),
    )


def layer_rgba(layer: Layer, background: Floats) -> Floats:
    """One straight RGBA [T, h, w, 4] of an object with its shadow and reflection, exact over `background`.

    A coloured shadow lets each channel pass differently, which no single alpha can say. The least alpha that explains
    the pixel with a colour within 0..1 is taken; the colour then makes the composition exact.
    """
    passing = layer.shadow * (1 - layer.reflection[..., 3:])
    added = layer.reflection[..., :3] * layer.reflection[..., 3:]
    own = layer.rgba[..., 3:]
    passing, added = passing * (1 - own), added * (1 - own) + layer.rgba[..., :3] * own
    least = passing.min(axis=-1, keepdims=True)
    alpha = 1 - least
    colour = (added + background * (passing - least)) / np.maximum(alpha, 1e-6)
    colour = np.where(alpha > 1e-3, np.clip(colour, 0, 1), 0)
    return np.concatenate([colour, alpha], axis=-1).astype(np.float32)


def _depth(clip: Clip) -> NDArray[np.uint8]:
    """Ground as a plane from far (top) to near (bottom), each object upright at the depth of its foot."""
    frames, height, width = clip.background.shape[:3]
    depth = np.repeat((np.arange(height) + 0.5)[None, :, None] / height, frames, axis=0).repeat(width, axis=2)
    for i, layer in enumerate(clip.layers):
        depth = np.where(clip.visible(i) > 0.5, layer.depth[:, None, None], depth)
    return _bytes(depth)


def _bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.clip(values, 0, 1) * 255 + 0.5, np.uint8)


def folder(path: Path) -> list[Scene]:
    """The scenes of a folder (training/data/scenes.py). Raises FileNotFoundError if there is none."""
    return scenes.load_all(path)


def at_base(scene: Scene) -> Scene:
    """`scene` at the paper's base resolution (section 3.1), everything shrunk as the stages shrink it."""
    height, width = base_size(*scene.video.shape[1:3])
    if scene.video.shape[1:3] == (height, width):
        return scene

    def small(array: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        return None if array is None else sizes.resized(array, height, width)

    def each(array: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        return None if array is None else np.stack([sizes.resized(item, height, width) for item in array])

    return replace(
        scene,
        video=sizes.resized(scene.video, height, width),
        masks=_small_masks(scene.masks, height, width),
        background=small(scene.background),
        solos=each(scene.solos),
        layers=None if scene.layers is None else np.stack([_small_rgba(item, height, width) for item in scene.layers]),
        depth=None if scene.depth is None else sizes.resized(scene.depth[..., None], height, width)[..., 0],
    )


def _small_masks(masks: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    def channel(index: int) -> Sequence[NDArray[np.uint8]]:
        return [scaled(np.ascontiguousarray(mask), height=height, width=width) for mask in masks[..., index]]

    return np.stack([np.stack(channel(n)) for n in range(masks.shape[-1])], axis=-1)


def _small_rgba(rgba: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Averaged premultiplied, so that colours under a clear alpha do not bleed in."""
    values = rgba.astype(np.float32) / 255
    values[..., :3] *= values[..., 3:]
    small = np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in values])
    small[..., :3] /= np.maximum(small[..., 3:], 1e-6)
    return _bytes(small)
