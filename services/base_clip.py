"""A whole clip at base resolution for the stages that look across time: 100 KB a frame, so it fits in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services import frames, tracks
from services.artifacts import Artifact
from services.tracks import Track
from services.trimask import scaled

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class BaseClip:
    """video: [T, h, w, 3] uint8. masks: [T, h, w, N] uint8 0 or 255. preserve: [T, h, w] uint8, or None."""

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
    """Read `video`, the tracks and, if there is one, `preserve` chunk by chunk; `check` may raise to stop."""
    source = inputs["video"].array("frames")
    video, masks, preserve = [], [], []
    for start, stop in frames.chunk_ranges(source):
        check()
        video.append(frames.resized(frames.to_bytes(source[start:stop]), height, width))
        masks.append(_scaled(tracks.read(objects, inputs, start=start, stop=stop), height, width))
        if "preserve" in inputs:
            preserve.append(_scaled(inputs["preserve"].array("masks")[start:stop], height, width)[..., 0])
    return BaseClip(np.concatenate(video), np.concatenate(masks), np.concatenate(preserve) if preserve else None)


def _scaled(masks: Bytes, height: int, width: int) -> Bytes:
    return np.stack([scaled(mask, height=height, width=width) for mask in masks])
