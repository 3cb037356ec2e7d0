"""Training samples for guided super-resolution: a synthesised frame, a simulated Casper result, and the truth.

Casper itself is not run: its result is the truth at base resolution with the faults that a small denoiser has. Where
it had to change something it is a little soft, a little off in colour, and sometimes leaves part of an effect behind;
elsewhere it is the input up to rounding. What is left behind is left behind in the truth too: super-resolution must
stay true to Casper's result and not try to finish its work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services import frames, geometry
from services.plate import fine
from services.plate import plate as plates
from services.ssr import guide
from services.trimask import scaled, trimask
from training.data.assets import Assets, Split, find
from training.data.augment import tracked
from training.data.crops import crop
from training.data.object_paste import Clip, synthesise
from training.data.pool import reused, worker_rng

HEIGHT, WIDTH = 256, 448
FRAMES = 9
_SMALLEST, _LARGEST = 84, 144
"""Range of base heights in training: factors of about 1.8 to 3 up to HEIGHT."""

Array = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Moment:
    """One frame of a clip, with its real plate: made from the clip's other frames as a job makes it."""

    clip: Clip
    plate: guide.Backdrop


@dataclass(frozen=True)
class Sample:
    """One frame. guide: [CHANNELS, H, W], the network's input; truth: [H, W, 3]; changed: [H, W] bool."""

    guide: Array
    truth: Array
    changed: NDArray[np.bool_]


def make_sample(moment: Moment, rng: Rng, *, base_height: int | None = None) -> Sample:
    """A moment with a random choice of objects to keep."""
    one = moment.clip
    count = len(one.layers)
    keep = [i for i in range(count) if rng.random() < 0.35]
    keep = keep[1:] if len(keep) == count else keep
    image = one.draw(range(count))[0]
    masks = np.stack([_mask(one.visible(i)[0], rng) for i in range(count)], axis=-1)
    tri = trimask(masks, keep=keep)
    truth = one.draw(keep)[0]
    if rng.random() < 0.5:
        truth = leave_some(truth, image, tri, rng)
    changed = np.abs(image - truth).max(axis=-1) > 0.02

    base_height = base_height or int(rng.integers(_SMALLEST, _LARGEST))
    size = round(base_height * WIDTH / HEIGHT), base_height
    base = _reduce(image, size)
    casper = simulate_casper(_reduce(truth, size), base, _reduce(tri, size), rng)
    small = (base * 255 + 0.5).astype(np.uint8)
    stacked = guide.guide(casper=casper, base=small, image=image, tri=tri, plate=moment.plate)
    return Sample(stacked, truth, changed)


def leave_some(truth: Array, image: Array, tri: Array, rng: Rng) -> Array:
    """The truth when a part of the effects stays; the removed objects themselves always go."""
    share = np.clip(smooth_noise(rng, truth.shape[:2], scale=rng.uniform(10, 60)) * 0.15 + rng.uniform(0, 0.3), 0, 0.5)
    outside = cv2.GaussianBlur((tri > 0).astype(np.float32), (0, 0), 2) * (tri > 0)
    return truth + (share * outside)[..., None] * (image - truth)


def simulate_casper(truth: Array, base: Array, tri: Array, rng: Rng) -> Array:
    """Casper's result [h, w, 3] from truth, input and trimask, all at base resolution."""
    region = ((np.abs(truth - base).max(axis=-1) > 0.02) | (tri < 0.25)).astype(np.uint8)
    soft = cv2.GaussianBlur(cv2.dilate(region, np.ones((5, 5), np.uint8)).astype(np.float32), (0, 0), 1.2)[..., None]
    blurred = cv2.GaussianBlur(truth, (0, 0), rng.uniform(0.3, 1.3))
    result = truth + soft * rng.uniform(0, 1) * (blurred - truth)
    for scale, amount in ((rng.uniform(4, 20), 0.02), (rng.uniform(0.8, 2), 0.012)):
        grey = smooth_noise(rng, tri.shape, scale=scale)[..., None]
        tint = np.stack([smooth_noise(rng, tri.shape, scale=scale) for _ in range(3)], axis=-1)
        result = result + soft * amount * abs(rng.normal()) * (grey + 0.4 * tint)
    if rng.random() < 0.4:
        # A kept object may come out a little soft as well.
        kept = (tri > 0.75).astype(np.float32)[..., None] * rng.uniform(0, 0.5)
        result = result + kept * (cv2.GaussianBlur(result, (0, 0), 0.8) - result)
    rounding = rng.normal(0, rng.uniform(0.0005, 0.004), result.shape)
    return np.clip(result + rounding, 0, 1).astype(np.float32)


def _mask(visible: Array, rng: Rng) -> NDArray[np.uint8]:
    """A tracker's mask: off by up to two pixels."""
    return tracked(visible[None], int(rng.integers(-1, 3)))[0]


def _reduce(image: Array, size: tuple[int, int]) -> Array:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.float32)


def smooth_noise(rng: Rng, shape: tuple[int, ...], *, scale: float) -> Array:
    """Noise of unit variance whose features are about `scale` pixels wide."""
    coarse = rng.normal(size=(int(shape[0] / scale) + 2, int(shape[1] / scale) + 2)).astype(np.float32)
    fine = np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
    return fine / max(float(fine.std()), 1e-3)


class SsrSamples(torch.utils.data.IterableDataset[dict[str, Tensor]]):
    """An endless, seeded stream of crops: "guide" [CHANNELS, c, c], "truth" [3, c, c], "changed" [1, c, c]."""

    def __init__(self, *, split: Split, seed: int, crop: int = 128, reuse: int = 8, pool: int = 64) -> None:
        super().__init__()
        self.split, self.seed, self.crop, self.reuse, self.pool = split, seed, crop, reuse, pool

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rng, assets = worker_rng(self.seed), find(self.split)
        fresh = (make_moments(assets, rng) for _ in itertools.count())
        for moment in reused(fresh, rng, size=self.pool, reuse=self.reuse):
            sample = make_sample(moment, rng)
            planes = {"guide": sample.guide, "truth": sample.truth.transpose(2, 0, 1), "changed": sample.changed[None]}
            # Several crops of each: making the sample costs more than cutting it.
            for _ in range(4):
                yield crop(planes, sample.changed, rng, size=self.crop, centred=0.85)


def make_moments(assets: Assets, rng: Rng, *, count: int = 3) -> list[Moment]:
    """`count` frames of one clip of FRAMES frames."""
    # Motion is in pixels of a small picture: at this size it takes longer until an object has moved by its width.
    times = np.arange(FRAMES, dtype=np.float32) * float(rng.uniform(6, 40))
    clip = synthesise(assets, rng, times=times, height=HEIGHT, width=WIDTH)
    objects = range(len(clip.layers))
    video = frames.to_bytes(clip.draw(objects))
    anything = np.stack([_mask(one, rng) for one in np.max([clip.visible(i) for i in objects], axis=0)])
    height, width = geometry.base_size(HEIGHT, WIDTH)
    small = frames.resized(video, height, width)
    hidden = np.stack([scaled(mask, height=height, width=width) for mask in anything])
    path = plates.camera_path(small, hidden)
    moments = []
    for t in rng.permutation(FRAMES)[:count]:
        found = list(plates.registered(int(t), small, hidden, path, references=range(FRAMES)))
        made = fine.fine_plate(int(t), video.__getitem__, hidden[t], found)
        moments.append(Moment(clip.cut(slice(t, t + 1)), guide.Backdrop(frames.to_float(made.rgb), made.seen)))
    return moments
