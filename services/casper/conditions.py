"""What compact Casper is told about a clip, at base resolution: video, trimask and plate of any window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from services import frames, tracks
from services.artifacts import Artifact
from services.casper import plate as plates
from services.casper.network import stack_conditions
from services.casper.trimask import to_base, trimask
from services.casper.windows import Window
from services.tracks import Track

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class BaseClip:
    """A whole clip at base resolution: 100 KB a frame, so even thousands of frames fit.

    video: [T, h, w, 3] uint8. masks: [T, h, w, N] uint8 0 or 255. preserve: [T, h, w] uint8, or None.
    """

    video: Bytes
    masks: Bytes
    preserve: Bytes | None

    @property
    def shape(self) -> tuple[int, int, int]:
        t, h, w, _ = self.video.shape
        return t, h, w


def load(
    inputs: Mapping[str, Artifact],
    objects: Sequence[Track],
    *,
    height: int,
    width: int,
    check: Callable[[], None],
) -> BaseClip:
    """Read the clip and its tracks chunk by chunk."""
    source = inputs["video"].array("frames")
    video, masks, preserve = [], [], []
    for start, stop in frames.chunk_ranges(source):
        check()
        video.append(frames.resized(frames.to_bytes(source[start:stop]), height, width))
        masks.append(_shrink(tracks.read(objects, inputs, start=start, stop=stop), height, width))
        if "preserve" in inputs:
            preserve.append(_shrink(inputs["preserve"].array("masks")[start:stop], height, width)[..., 0])
    return BaseClip(np.concatenate(video), np.concatenate(masks), np.concatenate(preserve) if preserve else None)


def _shrink(masks: Bytes, height: int, width: int) -> Bytes:
    channels = [
        np.stack([to_base(np.ascontiguousarray(mask), height=height, width=width) for mask in masks[..., c]])
        for c in range(masks.shape[-1])
    ]
    return np.stack(channels, axis=-1)


class Conditions:
    """The network's conditions for any window of `clip`, when the objects `keep` (channels) stay.

    The plates are made once, frame by frame, by `prepare`.
    """

    def __init__(self, clip: BaseClip, *, keep: Sequence[int]) -> None:
        self._clip = clip
        self._keep = keep
        self._plates = np.zeros_like(clip.video)
        self._seen = np.zeros(clip.shape, np.float16)

    def prepare(self, *, progress: Callable[[int, int], None]) -> None:
        """Make the plate of every frame; `progress(done, total)` may raise to stop."""
        anything = self._clip.masks.max(axis=-1)
        path = plates.camera_path(self._clip.video, anything)
        total = len(path)
        for t in range(total):
            made = plates.plate(t, self._clip.video, anything, path, references=plates.choose_references(t, total))
            self._plates[t], self._seen[t] = made.rgb, made.seen
            progress(t + 1, total)

    def __call__(self, window: Window) -> Tensor:
        """[1, 8, t, h, w] in -1..1."""
        inside = slice(window.start, window.stop)
        preserve = self._clip.preserve
        tri = np.stack(
            [
                trimask(self._clip.masks[t], keep=self._keep, preserve=None if preserve is None else preserve[t])
                for t in range(window.start, window.stop)
            ]
        )
        return stack_conditions(
            _tensor(self._clip.video[inside] / np.float32(255)),
            _tensor(tri[..., None]),
            _tensor(self._plates[inside] / np.float32(255)),
            _tensor(self._seen[inside, ..., None]),
        )


def _tensor(part: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(part.transpose(3, 0, 1, 2), dtype=np.float32))[None]
