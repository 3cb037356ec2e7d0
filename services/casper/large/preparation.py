"""What the large Caspers are shown of a clip's masks, and how a clip is brought to a length that they take.

Every oddity of the released models is kept, because a network that was trained with other values does not understand
them: the threshold of 240 after an area resize, the square of 11 pixels by which every mask grows, the neutral value
128/255, the sampling of the mask in time, padding by mirroring. Must not know: any network, any VAE.

Trimasks here are as the networks see them: 1 keep, 128/255 unsure, 0 remove (files of the release hold the inverse).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from services import trimask as painted
from services.frames import to_float

Bytes = NDArray[np.uint8]
Video = NDArray[np.float32]

KEEP, REMOVE = painted.KEEP, painted.REMOVE
NEUTRAL = 128 / 255
"""What "unsure" is for a network whose trimask was 8-bit, and inverted once: 0.50196."""
GROWTH = 5
"""Pixels by which masks grow to each side, at the model's resolution: a full square of 11x11."""
_COVERED = 240


def area_mask(mask: Bytes, *, height: int, width: int) -> Bytes:
    """Mask [H, W] (0..255) at another size, 0 or 255: a pixel must be covered to 240/255, about 94 %."""
    small = mask
    if mask.shape != (height, width):
        small = np.asarray(cv2.resize(np.ascontiguousarray(mask), (width, height), interpolation=cv2.INTER_AREA))
    return np.where(small >= _COVERED, 255, 0).astype(np.uint8)


def area_frames(frames: NDArray[Any], *, height: int, width: int) -> Video:
    """Frames [T, H, W, 3] (uint8, uint16, or floats 0..1) at another size, float32 0..1; the aspect is not kept."""
    video = to_float(frames)
    if video.shape[1:3] == (height, width):
        return video
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in video])


def trimask(
    masks: Bytes, *, keep: Sequence[int], height: int, width: int, preserve: Bytes | None = None
) -> NDArray[np.float32]:
    """One frame's trimask [height, width] from the object masks [H, W, N] (0 or 255) and the channels to `keep`.

    preserve: [H, W] uint8, 255 where the user wants the input untouched; it is not grown. Kept and removed objects
    both grow; remove wins in every overlap, also in one that the growing makes.
    """
    sized = [area_mask(masks[..., i], height=height, width=width) for i in range(masks.shape[-1])]
    untouched = None if preserve is None else area_mask(preserve, height=height, width=width)
    stacked = np.stack(sized, axis=-1) if sized else np.zeros((height, width, 0), np.uint8)
    result = painted.trimask(stacked, keep=keep, preserve=untouched, dilation=GROWTH)
    return np.where(result == painted.UNSURE, NEUTRAL, result).astype(np.float32)


def snapped(trimask: Tensor) -> Tensor:
    """Every value moved to the nearest of remove 0, unsure 128/255, keep 1 (borders at 63/255 and 192/255)."""
    unsure = torch.where(trimask <= 192 / 255, NEUTRAL, 1.0)
    return torch.where(trimask < 63 / 255, 0.0, unsure).to(trimask.dtype)


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4k + 1 frames. Raises ValueError for another length."""
    if frames % 4 != 1:
        raise ValueError(f"a clip of {frames} frames has no whole number of latents; use 4k + 1 frames")
    return frames // 4 + 1


def resized_mask(mask: Tensor, *, size: tuple[int, int, int], begins: bool = True) -> Tensor:
    """[B, C, T, H, W] to `size` (T', h, w): the first frame on its own, the rest to T' - 1, trilinear.

    Neither smoothed before nor made binary after: of 8x8 pixels the middle 2x2 count, of 4 frames the middle 2.
    begins: False for a later part of a clip, whose T is 4 T': parts of whole fours give what the whole clip gives.
    """
    frames, height, width = size
    if not begins:
        return F.interpolate(mask, size=size, mode="trilinear", align_corners=False)
    first = F.interpolate(mask[:, :, :1], size=(1, height, width), mode="trilinear", align_corners=False)
    if frames == 1:
        return first
    rest = F.interpolate(mask[:, :, 1:], size=(frames - 1, height, width), mode="trilinear", align_corners=False)
    return torch.cat([first, rest], dim=2)


@dataclass(frozen=True)
class Padding:
    """A clip of `frames` frames brought to `length` by mirroring it at its end, as often as it takes."""

    frames: int
    length: int

    @property
    def latents(self) -> int:
        return latent_frames(self.length)

    def indices(self, start: int, stop: int) -> NDArray[np.intp]:
        """The clip's frames that stand at start..stop of the padded clip; the last frame comes twice at a turn."""
        place = np.arange(start, stop) % (2 * self.frames)
        return np.where(place < self.frames, place, 2 * self.frames - 1 - place)

    def trimmed(self, parts: Iterable[tuple[int, Video]]) -> Iterator[tuple[int, Video]]:
        """(first frame, frames) of the padded clip without what the padding added."""
        for first, part in parts:
            if first < self.frames:
                yield first, part[: self.frames - first]


def padded(frames: int, *, at_least: int, even_latents: bool = True) -> Padding:
    """How a clip of `frames` is padded: to 4k + 1 frames, k odd (so that latents come in pairs), at least `at_least`.

    even_latents: False lets k be even, for a network that does not pair its latents.
    `at_least` (4k + 1, a window's frames) wins over the pairing, as in the release: 50 frames for a window of 81 give
    81 frames, 21 latents. Raises ValueError for an empty clip.
    """
    if frames < 1:
        raise ValueError("a clip has at least one frame")
    groups = -(-(frames - 1) // 4)
    if even_latents and groups % 2 == 0:
        groups += 1
    return Padding(frames, max(4 * groups + 1, at_least))
