"""Object-Paste clips as scene files with complete ground truth: for tables, and for networks trained from files.

    python -m training.data.paste_scene --seeds 0:100 --out FOLDER [--split held-out] [--frames 24]

A seed always gives the same scene. Unlike in the training stream, shadows always fall on the objects behind as well:
only then do layers, drawn one over the other, make the video exactly. Must not know: who reads the files.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.data import captions, scenes
from training.data.assets import Assets, Split, find
from training.data.object_paste import Clip, Layer, synthesise

HEIGHT, WIDTH = 128, 224
Array = NDArray[np.float32]


def paste_scene(
    assets: Assets, *, seed: int, split: Split, frames: int = 24, height: int = HEIGHT, width: int = WIDTH
) -> scenes.Scene:
    """Scene number `seed`: 1-3 objects over a photograph, with shadows and reflections."""
    rng = np.random.default_rng([seed, 7331])
    times = np.arange(frames, dtype=np.float32) * np.float32(rng.uniform(1, 3))
    clip = replace(synthesise(assets, rng, times=times, height=height, width=width), shadows_cover_objects=True)
    count = len(clip.layers)
    shown = np.stack([clip.visible(i) for i in range(count)], axis=-1)
    return scenes.Scene(
        name=f"object-paste-{split}-{seed:05d}",
        category="object-paste",
        video=_codes(clip.draw(range(count))),
        masks=np.where(shown > 0.5, 255, 0).astype(np.uint8),
        background=_codes(clip.draw(())),
        solos=np.stack([_codes(clip.draw((i,))) for i in range(count)]),
        layers=np.stack([_codes(rgba_of(layer, clip)) for layer in clip.layers]),
        depth=_codes(_depth(clip, shown)),
        order=np.tile(np.arange(count, dtype=np.uint8), (frames, 1)),
        caption=captions.caption(captions.place(clip.place)),
    )


def rgba_of(layer: Layer, clip: Clip) -> Array:
    """The complete layer [T, h, w, 4], straight: shadow, reflection over it, object over both.

    A shadow is black with the alpha of its darkest channel; a tinted shadow takes away less of the other channels, and
    what it leaves of the background becomes its colour, so that over this background the layer is exact. So is grain,
    which lies on every layer's colour.
    """
    dark = layer.shadow.min(axis=-1, keepdims=True)
    premultiplied, alpha = clip.background * (layer.shadow - dark), 1 - dark
    for part in (layer.reflection, layer.rgba):
        a = part[..., 3:]
        premultiplied, alpha = part[..., :3] * a + premultiplied * (1 - a), a + alpha * (1 - a)
    color = premultiplied / np.maximum(alpha, 1e-4) + clip.grain
    return np.concatenate([np.where(alpha > 0, np.clip(color, 0, 1), 0), alpha], axis=-1).astype(np.float32)


def _depth(clip: Clip, shown: Array) -> Array:
    """[T, h, w], 0 far .. 1 near: a ground that comes nearer with every row, objects standing upright on it."""
    frames, height, width = shown.shape[:3]
    rows = ((np.arange(height) + 0.5) / height).astype(np.float32)
    depth = np.broadcast_to(rows[None, :, None], (frames, height, width)).copy()
    nearest = np.zeros(frames, np.float32)
    for i, layer in enumerate(clip.layers):
        nearest = np.maximum(nearest, layer.depth)  # Drawn in front, hence never farther than those behind.
        depth = np.where(shown[..., i] > 0.5, nearest[:, None, None], depth)
    return depth


def _codes(values: Array) -> NDArray[np.uint8]:
    return (values * 255 + 0.5).astype(np.uint8)


def _range(text: str) -> range:
    first, _, end = text.partition(":")
    return range(int(first), int(end) if end else int(first) + 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=_range, required=True, help="FIRST:END, END left out")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "held-out"), default="train")
    parser.add_argument("--frames", type=int, default=24)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    assets = find(given.split)
    for seed in tqdm(given.seeds, unit="scene"):
        scene = paste_scene(assets, seed=seed, split=given.split, frames=given.frames)
        scenes.save(scene, given.out / f"{scene.name}.npz")


if __name__ == "__main__":
    main()
