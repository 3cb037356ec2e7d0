"""Training samples for the omnimatte solver's network: a pair of frames, the closed-form guess, the mask, the alpha.

The guess is made by the solver's own code from a pair that errs as generated ones do: soft here, a little off in colour
there, shifted in exposure, or as it is. So the network learns what the guess gets wrong: the opacity of a reflection,
which the difference alone bounds only from below, a soft edge, and a difference that is no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.omnimatte import guesses
from services.omnimatte.layer import each
from services.omnimatte.source import Views
from training.data.assets import Assets, Split, find
from training.data.augment import grown
from training.data.crops import crop
from training.data.object_paste import Clip, synthesise
from training.data.paste_scene import rgba_of
from training.data.pool import reused, worker_rng
from training.data.ssr import smooth_noise

HEIGHT, WIDTH = 128, 192
FRAMES = 3
_PERFECT = 0.25
"""Share of pairs without a fault."""

Array = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Sample:
    """One frame. solo, background: [h, w, 3]; guess, own, alpha (the truth): [h, w]; float32 0..1."""

    solo: Array
    background: Array
    guess: Array
    own: Array
    alpha: Array


def samples_of(clip: Clip, index: int, rng: Rng) -> Iterator[Sample]:
    """Object `index` of a clip: every frame at base resolution, and one larger."""
    solo, background = clip.draw((index,)), clip.draw(())
    if rng.random() >= _PERFECT:
        solo, background = _faulty(solo, background, rng)
    truth = rgba_of(clip.layers[index], clip)[..., 3]
    own = _mask(clip.layers[index].rgba[..., 3], rng)
    front = [layer.rgba[..., 3] for layer in clip.layers[index + 1 :]]
    large = Views(solo, background, own, np.max(front, axis=0) if front else np.zeros_like(own))
    factor = float(rng.uniform(1.5, 3))
    small = Views(*(_reduced(frames, factor) for frames in vars(large).values()))
    base, known = guesses.of_clip([small], shape=_shape(small.own)), _reduced(truth, factor)
    for t, view in enumerate(each(small)):
        yield Sample(view[0], view[1], base.alpha[t].astype(np.float32), view[2], known[t])
    t = int(rng.integers(len(truth)))
    # In a job it is the fitted base alpha that is enlarged: better than the guess, not quite the truth.
    fitted = known[t] + rng.uniform(0, 1) * (base.alpha[t].astype(np.float32) - known[t])
    found = guesses.of_frame(list(each(large))[t], fitted)
    yield Sample(found.solo, found.background, found.alpha, found.own, truth[t])


def _mask(alpha: Array, rng: Rng) -> Array:
    """A tracker's mask of the whole object: hard, off by up to a pixel."""
    mask = (alpha > 0.5).astype(np.float32)
    return grown(mask, int(rng.integers(-1, 2)))


def _faulty(solo: Array, background: Array, rng: Rng) -> tuple[Array, Array]:
    """The pair [T, h, w, 3] as two runs of a generator would paint it: alike, but where the second had to paint."""
    # One choice per clip: a network errs in the same way from frame to frame.
    exposure = rng.normal(0, 0.01, 3) * (rng.random() < 0.3)
    softness, amount, scale = rng.uniform(0, 1.2), abs(rng.normal(0, 0.012)), float(rng.uniform(3, 25))
    stain = amount * np.stack([smooth_noise(rng, solo.shape[1:3], scale=scale) for _ in range(3)], axis=-1)
    painted = np.stack(
        [_painted(b, np.abs(s - b).max(-1), stain, softness) for s, b in zip(solo, background, strict=True)]
    )
    grain = rng.uniform(0, 0.004) * rng.normal(size=solo.shape)
    return _clipped(solo + grain), _clipped(painted + exposure)


def _painted(frame: Array, change: Array, stain: Array, softness: float) -> Array:
    around = cv2.dilate((change > 0.01).astype(np.float32), np.ones((9, 9), np.uint8))
    where = cv2.GaussianBlur(around, (0, 0), 3)[..., None]
    soft = cv2.GaussianBlur(frame, (0, 0), softness) if softness > 0.3 else frame
    return np.asarray(frame + where * (soft - frame + stain), np.float32)


def _clipped(frames: NDArray[np.floating]) -> Array:
    return np.clip(frames, 0, 1).astype(np.float32)


def _reduced(frames: Array, factor: float) -> Array:
    height, width = (round(side / factor) for side in frames.shape[1:3])
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in frames])


def _shape(maps: Array) -> tuple[int, int, int]:
    frames, height, width = maps.shape
    return frames, height, width


class LayerSamples(torch.utils.data.IterableDataset[dict[str, Tensor]]):
    """An endless, seeded stream of crops: "solo", "background" [3, c, c], "guess", "own", "alpha" [1, c, c]."""

    def __init__(self, *, split: Split, seed: int, crop: int = 64, reuse: int = 6, pool: int = 256) -> None:
        super().__init__()
        self.split, self.seed, self.crop, self.reuse, self.pool = split, seed, crop, reuse, pool

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rng = worker_rng(self.seed)
        for sample in reused(_made(find(self.split), rng), rng, size=self.pool, reuse=self.reuse):
            planes = {
                name: part.transpose(2, 0, 1) if part.ndim == 3 else part[None] for name, part in vars(sample).items()
            }
            matters = (sample.alpha > 0.02) | (sample.guess > 0.02)
            yield crop(planes, matters, rng, size=self.crop, centred=0.9)


def _made(assets: Assets, rng: Rng) -> Iterator[tuple[Sample]]:
    while True:
        times = np.arange(FRAMES, dtype=np.float32) * float(rng.uniform(1, 12))
        clip = synthesise(assets, rng, times=times, height=HEIGHT, width=WIDTH)
        for index in range(len(clip.layers)):
            for sample in samples_of(clip, index, rng):
                yield (sample,)
