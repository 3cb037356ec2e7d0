"""What a table compares: the form of a method and its answer, and the baselines that need no network.

Must not know: what is measured, or how scenes were made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from services.plate import plate as plates
from services.trimask import KEEP, REMOVE
from training.data.scenes import Scene
from training.evaluate.regions import trimasks

Bytes = NDArray[np.uint8]
Video = NDArray[np.float32]
Keep = tuple[int, ...]


@dataclass(frozen=True)
class Decomposition:
    """Layers of every object, as a user would get them.

    Attributes:
        layers: [N, T, h, w, 4] float32 0..1, straight.
        background: [T, h, w, 3] float32 0..1, the one that the layers belong to; None if the method gave none.
        order: [T, N], objects from back to front; None if the method does not say.
        masks: [T, h, w, N] uint8, its own masks; None if it does not track.
    """

    layers: Video
    background: Video | None = None
    order: NDArray[np.int64] | None = None
    masks: Bytes | None = None


@dataclass(frozen=True)
class Answer:
    """What a method made of a scene.

    Attributes:
        videos: the objects that stay -> the video [T, h, w, 3] float32 0..1 with just them. What the method does not
        give is missing.
        layers: its decomposition, or None.
        seconds: wall time for all of it; None for results read from files.
    """

    videos: Mapping[Keep, Video] = field(default_factory=dict)
    layers: Decomposition | None = None
    seconds: float | None = None


class Method(Protocol):
    """Answers for a scene: the video for each of `keeps`, by looking at nothing but its input and masks."""

    def __call__(self, scene: Scene, keeps: Sequence[Keep]) -> Answer: ...


def to_float(video: Bytes) -> Video:
    return video.astype(np.float32) / np.float32(255)


def identity(scene: Scene, keep: Keep) -> Video:
    """The input as it is: what removing nothing scores."""
    return to_float(scene.video)


def telea(scene: Scene, keep: Keep) -> Video:
    """Every frame's removed region filled from its rim (OpenCV, Telea 2004); effects stay."""
    tri = trimasks(scene.masks, keep=keep)
    holes = np.where(tri == REMOVE, 255, 0).astype(np.uint8)
    filled = [cv2.inpaint(f, hole, 3, cv2.INPAINT_TELEA) for f, hole in zip(scene.video, holes, strict=True)]
    return to_float(np.stack(filled).astype(np.uint8))


def median(scene: Scene, keep: Keep) -> Video:
    """Per pixel the median over the frames that show no object there (over all, if every frame does): right where the
    camera stands still, and where it does not, a blur. Kept objects are the input."""
    video = scene.video.astype(np.float32)
    video[scene.masks.max(axis=-1) > 0] = np.nan
    shown = ~np.isnan(video).all(axis=0)
    plain = np.median(scene.video, axis=0)
    with np.errstate(all="ignore"):
        seen = np.nanmedian(np.where(shown, video, 0), axis=0)
    still = np.where(shown, seen, plain).astype(np.float32) / 255
    return _with_kept(scene, keep, np.repeat(still[None], len(video), axis=0))


def plate(scene: Scene, keep: Keep) -> Video:
    """The temporal median along the camera's motion, which Casper too is given (services/plate/plate.py)."""
    anything = scene.masks.max(axis=-1)
    path = plates.camera_path(scene.video, anything)
    total = len(scene.video)
    made = [
        plates.plate(t, scene.video, anything, path, references=plates.choose_references(t, total)).rgb
        for t in range(total)
    ]
    return _with_kept(scene, keep, to_float(np.stack(made)))


def _with_kept(scene: Scene, keep: Keep, result: Video) -> Video:
    kept = trimasks(scene.masks, keep=keep) == KEEP
    return np.where(kept[..., None], to_float(scene.video), result)


def cut_out(scene: Scene) -> Decomposition:
    """Layers as masks cut them out of the input, without any effect, over the filled background; job order."""
    colour = to_float(scene.video)
    alphas = scene.masks.transpose(3, 0, 1, 2)[..., None].astype(np.float32) / 255
    order = np.repeat(np.arange(scene.objects)[None], len(scene.video), axis=0)
    return Decomposition(np.stack([np.concatenate([colour, a], axis=-1) for a in alphas]), telea(scene, ()), order)


@dataclass(frozen=True)
class Baseline:
    """A video for each run from a function of scene and keep; layers from `decompose`, if there is one."""

    video: Callable[[Scene, Keep], Video]
    decompose: Callable[[Scene], Decomposition] | None = None

    def __call__(self, scene: Scene, keeps: Sequence[Keep]) -> Answer:
        started = time.perf_counter()
        videos = {keep: self.video(scene, keep) for keep in keeps}
        layers = None if self.decompose is None else self.decompose(scene)
        return Answer(videos, layers, time.perf_counter() - started)


def baselines(*, layers: bool) -> dict[str, Method]:
    """The baselines by name; with `layers`, Telea's background also carries layers cut out by the masks."""
    return {
        "identity": Baseline(identity),
        "telea": Baseline(telea, cut_out if layers else None),
        "median": Baseline(median),
        "plate": Baseline(plate),
    }
