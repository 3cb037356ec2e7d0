"""Training samples for compact Casper: (video, trimask, plate) -> the video without the removed objects and effects.

A clip is synthesised once and drawn from several times, with other crops and other trimasks. Some objects carry no
label at all (grey in the trimask, paper App. B): they and their effects must stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from services.plate import plate as plates
from services.trimask import trimask
from training.data import augment, captions, mix
from training.data.assets import Assets, Split, find
from training.data.object_paste import Clip, synthesise
from training.data.pool import Pool, worker_rng
from training.data.scenes import Category

HEIGHT, WIDTH = 128, 224
_LABELLED = 0.85
# How often a kept object turns grey, and how often a still part of the background turns white.
_GREY, _PRESERVED = 0.1, 0.1


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

    @property
    def synthetic(self) -> bool:
        return True

    def choose_keep(self, rng: np.random.Generator) -> tuple[int, ...]:
        """Mask channels to keep; mostly something has to go."""
        count = len(self.labelled)
        keep = tuple(i for i in range(count) if rng.random() < 0.4)
        return keep[1:] if len(keep) == count and rng.random() < 0.9 else keep

    def target(self, keep: tuple[int, ...]) -> NDArray[np.float32]:
        """Ground truth when the labelled channels `keep` stay (unlabelled objects always do): [T, h, w, 3]."""
        return self.clip.draw(self._shown(keep))

    def caption(self, keep: tuple[int, ...]) -> str:
        """One sentence about the target."""
        names = [captions.thing(self.clip.names[i]) for i in self._shown(keep)]
        return captions.caption(captions.place(self.clip.place), names)

    def _shown(self, keep: tuple[int, ...]) -> list[int]:
        unlabelled = set(range(len(self.clip.layers))) - set(self.labelled)
        return sorted({self.labelled[i] for i in keep} | unlabelled)


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
    masks = np.stack([augment.tracked(clip.visible(i), jitter) for i in labelled], axis=-1)
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
        clip=clip.cut(inside),
    )


def _to_bytes(video: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (video * 255 + 0.5).astype(np.uint8)


class Drawable(Protocol):
    """Frames that samples are drawn from: a synthesised `Scene`, or a window of a scene file."""

    @property
    def video(self) -> NDArray[np.uint8]: ...
    @property
    def masks(self) -> NDArray[np.uint8]: ...
    @property
    def plate(self) -> NDArray[np.uint8]: ...
    @property
    def seen(self) -> NDArray[np.float32]: ...
    @property
    def synthetic(self) -> bool: ...
    def choose_keep(self, rng: np.random.Generator) -> tuple[int, ...]: ...
    def target(self, keep: tuple[int, ...]) -> NDArray[np.float32]: ...
    def caption(self, keep: tuple[int, ...]) -> str: ...


def draw_sample(
    scene: Drawable,
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
    dilation: int | None = None,
    light: augment.Light | None = None,
) -> dict[str, Any]:
    """A random crop of `scene` with a random trimask, as float32 tensors [C, T, height, width] in 0..1, and a caption.

    On synthetic scenes labels switch between white and grey at random (paper App. B). `light` changes all variants
    alike.
    """
    keep = scene.choose_keep(rng)
    target = scene.target(keep)
    full = np.asarray(scene.video / np.float32(255), np.float32)
    changed = np.abs(full - target).max(axis=-1) > 0.02
    grow = int(rng.integers(1, 4)) if dilation is None else dilation
    tri = _labels(scene, keep, ~changed, rng, dilation=grow)
    y, x = _corner(changed, rng, height=height, width=width)
    plate = np.asarray(scene.plate / np.float32(255), np.float32)
    if light is not None:
        full, target, plate = light(full), light(target), light(plate)
    parts = {
        "video": full,
        "plate": plate,
        "target": target,
        "trimask": tri[..., None],
        "seen": scene.seen[..., None],
        "changed": changed[..., None].astype(np.float32),
    }
    cut = augment.Cut(y, x, height, width, flip_x=bool(rng.random() < 0.5), flip_t=bool(rng.random() < 0.5))
    drawn: dict[str, Any] = {
        name: torch.from_numpy(np.ascontiguousarray(cut(part).transpose(3, 0, 1, 2))) for name, part in parts.items()
    }
    return {**drawn, "caption": scene.caption(keep)}


def _labels(
    scene: Drawable, keep: tuple[int, ...], unchanged: NDArray[np.bool_], rng: np.random.Generator, *, dilation: int
) -> NDArray[np.float32]:
    """The trimasks [T, h, w]."""
    white, preserve = keep, None
    if scene.synthetic:
        white = augment.grey_kept(keep, rng, chance=_GREY)
        preserve = augment.white_patch(unchanged, rng, chance=_PRESERVED)
    labelled = [i for i in range(scene.masks.shape[-1]) if i in white or i not in keep]
    kept = [k for k, i in enumerate(labelled) if i in white]
    return np.stack([trimask(m[..., labelled], keep=kept, preserve=preserve, dilation=dilation) for m in scene.masks])


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


class CasperSamples(torch.utils.data.IterableDataset[dict[str, Any]]):
    """An endless stream of samples, the same at the same seed: Object-Paste as it is made, mixed with scene files.

    Every category has a pool of scenes in memory; one of its scenes is exchanged every `reuse` samples.
    """

    def __init__(
        self,
        *,
        split: Split,
        seed: int,
        frames: int,
        height: int,
        width: int,
        reuse: int = 10,
        pool: int = 64,
        folders: Mapping[Category, Path] | None = None,
        weights: mix.Mix = mix.COMPACT,
        file_pool: int = 24,
    ) -> None:
        """folders: scene files (training/data/scenes.py) by category; one that is missing or empty is left out."""
        super().__init__()
        self.split, self.seed, self.frames = split, seed, frames
        self.height, self.width = height, width
        self.reuse, self.pool, self.file_pool = reuse, pool, file_pool
        self.folders, self.weights = dict(folders or {}), weights

    def __iter__(self) -> Iterator[dict[str, Any]]:
        rng = worker_rng(self.seed)
        files = mix.present(self.folders)
        shares = self.weights.shares({"object-paste", *files})
        sources: dict[Category, _Made | mix.FilePool] = {}
        for name in shares:
            # A folder of Object-Paste scenes stands in for making them.
            sources[name] = (
                mix.FilePool(files[name], rng, size=self.file_pool)
                if name in files
                else _Made(find(self.split), rng, frames=self.frames, size=self.pool)
            )
        names, chances = list(shares), list(shares.values())
        drawn = dict.fromkeys(names, 0)
        while True:
            name = names[int(rng.choice(len(names), p=chances))] if len(names) > 1 else names[0]
            source = sources[name]
            if drawn[name] % self.reuse == 0:
                source.turn()
            drawn[name] += 1
            scene = source.draw(rng, frames=self.frames)
            # Files are few and come again and again; what is made anew has its own light already.
            light = augment.Light.random(rng) if name in files else None
            yield draw_sample(scene, rng, height=self.height, width=self.width, light=light)


class _Made:
    """A pool of Object-Paste scenes made on the way."""

    def __init__(self, assets: Assets, rng: np.random.Generator, *, frames: int, size: int) -> None:
        self._assets, self._rng, self._frames = assets, rng, frames
        self._scenes: Pool[Scene] = Pool(rng, size=size)

    def turn(self) -> None:
        """Make one more scene; beyond the pool's size it takes the place of a random one."""
        self._scenes.add(make_scene(self._assets, self._rng, frames=self._frames))

    def draw(self, rng: np.random.Generator, *, frames: int) -> Scene:
        """A random scene of the pool."""
        return self._scenes.draw()
