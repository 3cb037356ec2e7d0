"""What the large Caspers take and give: a clip in slices of time, what is to stay in each run, parts of the results.

Must not know: any network; how a family samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services.casper.large.preparation import area_frames, trimask
from services.errors import BadOption

Video = NDArray[np.float32]
OnProgress = Callable[[int, int, str], None]
"""Called as (done, total, "encoding" | "denoising" | "decoding") after every piece; may raise to stop."""


class Clip(Protocol):
    """What is read of a clip, in slices along time: NumPy or Zarr arrays. `services.base_clip.BaseClip` is one.

    video: [T, H, W, 3] uint8, uint16, or floats 0..1. masks: [T, H, W, N] uint8, 0 or 255. preserve: [T, H, W] uint8,
    255 where the user wants the input untouched, or None. Any size.
    """

    @property
    def video(self) -> Any: ...
    @property
    def masks(self) -> Any: ...
    @property
    def preserve(self) -> Any: ...


class Part(NamedTuple):
    """Frames [t, height, width, 3], float32 0..1, of run number `run`, the first of which is frame `first`."""

    run: int
    first: int
    frames: Video


def read(
    clip: Clip, keeps: Sequence[Sequence[int]], wanted: NDArray[np.intp], *, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Frames [1, 3, t, h, w] in 0..1 and trimasks [runs, 1, t, h, w] of the frames `wanted`, at the model's size."""
    start, stop = int(wanted.min()), int(wanted.max()) + 1
    place = wanted - start
    video = area_frames(np.asarray(clip.video[start:stop]), height=height, width=width)[place]
    masks = np.asarray(clip.masks[start:stop])
    preserve = [None] * (stop - start) if clip.preserve is None else np.asarray(clip.preserve[start:stop])
    tri = [
        [
            trimask(mask, keep=keep, preserve=left, height=height, width=width)
            for mask, left in zip(masks, preserve, strict=True)
        ]
        for keep in keeps
    ]
    chosen = np.asarray(tri, np.float32).reshape(len(keeps), stop - start, height, width)[:, place]
    frames = torch.from_numpy(np.ascontiguousarray(video.transpose(3, 0, 1, 2)))
    return frames[None], torch.from_numpy(chosen)[:, None]


def check(clip: Clip, keeps: Sequence[Sequence[int]], *, height: int, width: int) -> None:
    """Raises BadOption for a size that no large Casper has, an object that the clip has not, or no run at all."""
    if height % 16 or width % 16 or min(height, width) < 16:
        near = [max(16, round(side / 16) * 16) for side in (height, width)]
        raise BadOption(
            f"the model's size {height}x{width} is not a multiple of 16; use {near[0]}x{near[1]} "
            "(clips of any size are resized to it).",
            field="size",
        )
    if not keeps:
        raise BadOption("there is no run to make; name what to keep in each.", field="keep")
    objects = clip.masks.shape[-1]
    for channel in (channel for keep in keeps for channel in keep):
        if not 0 <= channel < objects:
            raise BadOption(f"there is no object {channel} to keep; the clip has {objects}.", field="keep")


@dataclass(frozen=True)
class Counter:
    """Turns a group's (done, total) into that of all `total` runs, of which `before` are done and `here` in work."""

    on_progress: OnProgress
    note: str
    before: int
    here: int
    total: int

    def of_group(self, done: int, steps: int) -> None:
        self.on_progress(self.before * steps + self.here * done, self.total * steps, self.note)
