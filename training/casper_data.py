"""Training samples for compact Casper: (video, trimask, plate) -> the video without the removed objects and effects.

A clip is synthesised once and drawn from several times, with other crops and other trimasks. Some objects carry no
label at all (grey in the trimask, paper App. B): they and their effects must stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.casper import plate as plates
from services.casper.trimask import trimask
from training.assets import Assets, Split, find
from training.synthesis import Clip, Layer, synthesise

HEIGHT, WIDTH = 128, 224
_LABELLED = 0.85


@dataclass(frozen=True)
class Scene:
    """One synthesised window with what Casper is told about it.

    video: [T, h, w, 3] uint8. masks: [T, h, w, N] uint8 0 or 255, N labelled objects. plate: [T, h, w, 3] uint8.
    seen: [T, h, w] float32. labelled: the clip's object of each mask channel. clip: ground truth of the window.
    """

    video: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    plate: NDArray[np.uint8]
    seen: NDArray[np.float32]
    labelled: tuple[int, ...]
    clip: Clip

    def target(self, keep: tuple[int, ...]) -> NDArray[np.float32]:
        """Ground truth when the labelled channels `keep` stay (unlabelled objects always do): [T, h, w, 3]."""
        unlabelled = set(range(len(self.clip.layers))) - set(self.labelled)
        return self.clip.draw(sorted({self.labelled[i] for i in keep} | unlabelled))


def make_scene(assets: Assets, rng: np.random.Generator, *, frames: int, label_all: bool = False) -> Scene:
    """Synthesise a window of `frames` frames within a longer clip, whose other frames serve as references for the
    plate."""
    spacing = rng.uniform(2, 8)
    before = int(rng.integers(0, 13))
    outside_before = -spacing * np.arange(before, 0, -1)
    outside_after = frames - 1 + spacing * np.arange(1, 13 - before)
    times = np.concatenate([outside_before, np.arange(frames), outside_after]).astype(np.float32)
    clip = synthesise(assets, rng, times=times, height=HEIGHT, width=WIDTH)
    count = len(clip.layers)
    labelled = tuple(i for i in range(count) if label_all or rng.random() < _LABELLED) or (int(rng.integers(count)),)
    video = _to_bytes(clip.draw(range(count)))
    jitter = int(rng.integers(-1, 2))
    masks = np.stack([_mask(clip.visible(i), jitter) for i in labelled], axis=-1)
    anything = masks.max(axis=-1)
    path = plates.camera_path(video, anything)
    window = range(before, before + frames)
    references = [i for i in range(len(times)) if i not in window]
    made = [plates.plate(t, video, anything, path, references=references) for t in window]
    inside = slice(before, before + frames)
    return Scene(
        video=video[inside],
        masks=masks[inside],
        plate=np.stack([p.rgb for p in made]),
        seen=np.stack([p.seen for p in made]),
        labelled=labelled,
        clip=_cut(clip, inside),
    )


def _cut(clip: Clip, inside: slice) -> Clip:
    layers = tuple(Layer(a.rgba[inside], a.shadow[inside], a.reflection[inside], a.depth[inside]) for a in clip.layers)
    return replace(clip, background=clip.background[inside], layers=layers, grain=clip.grain[inside])


def _mask(visible: NDArray[np.float32], jitter: int) -> NDArray[np.uint8]:
    """Masks [T, h, w] as a tracker would give them: grown or shrunk by a pixel."""
    masks = np.where(visible > 0.5, 255, 0).astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    if jitter > 0:
        return np.stack([cv2.dilate(m, kernel) for m in masks])
    return np.stack([cv2.erode(m, kernel) for m in masks]) if jitter < 0 else masks


def _to_bytes(video: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (video * 255 + 0.5).astype(np.uint8)


def draw_sample(
    scene: Scene, rng: np.random.Generator, *, height: int, width: int, dilation: int | None = None
) -> dict[str, Tensor]:
    """A random crop of `scene` with a random trimask, as float32 tensors [C, T, height, width] in 0..1."""
    count = len(scene.labelled)
    keep = tuple(i for i in range(count) if rng.random() < 0.4)
    if len(keep) == count and rng.random() < 0.9:
        keep = keep[1:]
    target = scene.target(keep)
    full = scene.video.astype(np.float32) / 255
    changed = np.abs(full - target).max(axis=-1) > 0.02
    grow = int(rng.integers(1, 4)) if dilation is None else dilation
    tri = np.stack([trimask(m, keep=keep, dilation=grow) for m in scene.masks])
    y, x = _corner(changed, rng, height=height, width=width)
    parts = {
        "video": full,
        "plate": scene.plate.astype(np.float32) / 255,
        "target": target,
        "trimask": tri[..., None],
        "seen": scene.seen[..., None],
        "changed": changed[..., None].astype(np.float32),
    }
    flip_x, flip_t = rng.random() < 0.5, rng.random() < 0.5
    out = {}
    for name, part in parts.items():
        crop = part[:, y : y + height, x : x + width]
        crop = crop[:, :, ::-1] if flip_x else crop
        crop = crop[::-1] if flip_t else crop
        out[name] = torch.from_numpy(np.ascontiguousarray(crop.transpose(3, 0, 1, 2)))
    return out


def _corner(changed: NDArray[np.bool_], rng: np.random.Generator, *, height: int, width: int) -> tuple[int, int]:
    """Top-left corner of a crop that mostly shows something that must change."""
    _, h, w = changed.shape
    where = np.argwhere(changed)
    if len(where) == 0 or rng.random() < 0.1:
        return int(rng.integers(h - height + 1)), int(rng.integers(w - width + 1))
    _, cy, cx = where[rng.integers(len(where))]
    y = int(np.clip(cy - rng.integers(height), 0, h - height))
    x = int(np.clip(cx - rng.integers(width), 0, w - width))
    return y, x


class CasperSamples(torch.utils.data.IterableDataset[dict[str, Tensor]]):
    """An endless, seeded stream of samples. A pool of scenes is drawn from `reuse` times for every new scene."""

    def __init__(
        self, *, split: Split, seed: int, frames: int, height: int, width: int, reuse: int = 10, pool: int = 64
    ) -> None:
        super().__init__()
        self.split, self.seed, self.frames = split, seed, frames
        self.height, self.width = height, width
        self.reuse, self.pool = reuse, pool

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        cv2.setNumThreads(1)
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        assets = find(self.split)
        scenes: list[Scene] = []
        while True:
            scene = make_scene(assets, rng, frames=self.frames)
            if len(scenes) < self.pool:
                scenes.append(scene)
            else:
                scenes[rng.integers(self.pool)] = scene
            for _ in range(self.reuse):
                yield draw_sample(scenes[rng.integers(len(scenes))], rng, height=self.height, width=self.width)
