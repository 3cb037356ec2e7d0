"""Augmentation of training pairs (paper App. B) as pure functions: the same random choice gives the same result.

What is done to one variant of a clip (input, target, plate, masks) is done to all, or a pair would teach a change that
nobody asked for. Clips are [T, h, w, C]. Must not know: where clips come from, or what trains on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[Any]
Floats = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True)
class Cut:
    """A crop with flips: rows y.., columns x.., `height` x `width`; then the flips."""

    y: int
    x: int
    height: int
    width: int
    flip_x: bool = False
    flip_t: bool = False

    def __call__(self, clip: Clip) -> Clip:
        """[T, h, w, C] -> [T, height, width, C]. Raises ValueError if the crop leaves the clip."""
        if min(self.y, self.x) < 0 or self.y + self.height > clip.shape[1] or self.x + self.width > clip.shape[2]:
            raise ValueError(f"a crop of {self.height}x{self.width} at ({self.y}, {self.x}) leaves {clip.shape[1:3]}")
        part = clip[:, self.y : self.y + self.height, self.x : self.x + self.width]
        part = part[:, :, ::-1] if self.flip_x else part
        return part[::-1] if self.flip_t else part


def reflect(total: int, length: int, *, start: int = 0) -> NDArray[np.int64]:
    """Indices [length] of a window into `total` frames that turns around at the ends (reflective temporal padding)."""
    if total == 1:
        return np.zeros(length, np.int64)
    period = 2 * (total - 1)
    phase = (start + np.arange(length)) % period
    return np.asarray(np.minimum(phase, period - phase), np.int64)


@dataclass(frozen=True)
class Light:
    """A photometric change: per-channel gain after a gamma."""

    gamma: float
    gain: tuple[float, float, float]

    @classmethod
    def random(cls, rng: Rng) -> Light:
        gain = np.exp(rng.normal(0, 0.1, 3) + rng.normal(0, 0.08))
        return cls(float(np.exp(rng.normal(0, 0.15))), (float(gain[0]), float(gain[1]), float(gain[2])))

    def __call__(self, clip: Floats) -> Floats:
        """[..., 3], 0..1 to the same. Equal pixels stay equal, whichever variant they are in."""
        return np.clip(clip**self.gamma * np.array(self.gain, np.float32), 0, 1).astype(np.float32)


def grey_kept(keep: Sequence[int], rng: Rng, *, chance: float) -> tuple[int, ...]:
    """The kept objects that stay white in the trimask; the others turn grey (white -> grey on synthetic data)."""
    return tuple(i for i in keep if rng.random() >= chance)


def white_patch(unchanged: NDArray[np.bool_], rng: Rng, *, chance: float, tries: int = 8) -> NDArray[np.uint8] | None:
    """A region to paint white (grey -> white): a rectangle [h, w] uint8 0/255 in which no frame may change, or None.

    unchanged: [T, h, w]. Rectangles that touch a change are thrown away rather than clipped: their outline must not
    tell where effects are.
    """
    if rng.random() >= chance:
        return None
    still = np.asarray(unchanged.all(axis=0))
    h, w = still.shape
    for _ in range(tries):
        ys, xs = np.sort(rng.integers(0, h + 1, 2)), np.sort(rng.integers(0, w + 1, 2))
        inside = (slice(ys[0], ys[1]), slice(xs[0], xs[1]))
        if still[inside].size > 64 and still[inside].all():
            patch = np.zeros((h, w), np.uint8)
            patch[inside] = 255
            return patch
    return None


def rough_masks(masks: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Masks [T, h, w, N] as a tracker would give them: grown or shrunk by a pixel, or exact."""
    pixels = int(rng.integers(-1, 2))
    return np.stack([grown(masks[..., n], pixels) for n in range(masks.shape[-1])], -1) if masks.size else masks


def tracked(visible: Floats, pixels: int) -> NDArray[np.uint8]:
    """Masks [T, h, w], 0 or 255, that a tracker off by `pixels` would give of what is visible (0..1)."""
    return grown(np.where(visible > 0.5, 255, 0).astype(np.uint8), pixels)


def grown(masks: Clip, pixels: int) -> Clip:
    """Masks [T, h, w] grown to each side by `pixels`, or shrunk if that is negative."""
    if pixels == 0:
        return masks
    operation, side = cv2.dilate if pixels > 0 else cv2.erode, 2 * abs(pixels) + 1
    return np.stack([operation(np.ascontiguousarray(mask), np.ones((side, side), np.uint8)) for mask in masks])


def ken_burns(frames: int, *, source: tuple[int, int], size: tuple[int, int], rng: Rng) -> NDArray[np.float64]:
    """A slow pan and zoom: [frames, 2, 3], maps from pixels of a `source` (h, w) clip to those of a `size` (h, w) one.

    The picture never leaves the source.
    """
    (sh, sw), (h, w) = source, size
    fit = min(sh / h, sw / w)
    widest = rng.uniform(0.6, 1.0, 2)
    start, end = np.array([rng.random(2), rng.random(2)])
    maps = np.empty((frames, 2, 3))
    for i, t in enumerate(np.linspace(0, 1, frames)):
        step = t * t * (3 - 2 * t)
        window = fit * (widest[0] + step * (widest[1] - widest[0]))
        centre = start + step * (end - start)
        y, x = centre[0] * (sh - window * h), centre[1] * (sw - window * w)
        # Pixel centres lie at half integers.
        maps[i] = [[1 / window, 0, (0.5 - x) / window - 0.5], [0, 1 / window, (0.5 - y) / window - 0.5]]
    return maps


def move(clip: Clip, maps: NDArray[np.float64], *, size: tuple[int, int], nearest: bool = False) -> Clip:
    """`clip` [T, h, w, C] under per-frame `maps` [T, 2, 3]: [T, *size, C]. nearest: for masks, which stay 0/255."""
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    done = [
        cv2.warpAffine(f, m, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        for f, m in zip(clip, maps, strict=True)
    ]
    return np.stack(done).reshape(len(clip), *size, clip.shape[-1])
