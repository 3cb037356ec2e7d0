"""The arrays that the store is measured with: what stages write, made from the bundled clip, and noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from services.arrays import Content

CLIP = Path(__file__).resolve().parents[2] / "samples" / "still_life" / "input.mp4"
_HD = (1080, 1920)
_WORKING = (360, 640)


@dataclass(frozen=True)
class Case:
    """name: for people. frames: [T, ...], contiguous. content: what the stage that writes such an array says it is."""

    name: str
    frames: NDArray[Any]
    content: Content


def cases(*, megabytes: int) -> Iterator[Case]:
    """Every case, each of about `megabytes` MB."""
    clip = decoded(CLIP)
    hd, working = scaled(clip[:24], *_HD), scaled(clip, *_WORKING)
    noise = np.random.default_rng(0).integers(0, 256, hd[:8].shape, np.uint8)
    made = {
        "video, the clip's own size": (clip, Content.PIXELS),
        "video, 1080p": (hd, Content.PIXELS),
        "video, 1080p noise": (noise, Content.PIXELS),
        "masks, 1080p": (discs(24, *_HD, blur=0).astype(np.uint8), Content.COVERAGE),
        "rgb, 640x360 float16": ((working / np.float32(255)).astype(np.float16), Content.PIXELS),
        "alpha, 640x360 float16": ((discs(48, *_WORKING, blur=4) / 255).astype(np.float16), Content.COVERAGE),
    }
    for name, (frames, content) in made.items():
        yield Case(f"{name} {frames.dtype}" if "float" not in name else name, repeated(frames, megabytes), content)


def decoded(path: Path) -> NDArray[np.uint8]:
    """The frames of a file, [T, H, W, 3] uint8."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def scaled(frames: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """[T, H, W, 3] at another size, by cubic interpolation."""
    return np.stack(
        [np.asarray(cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC)) for one in frames]
    ).astype(np.uint8)


def discs(count: int, height: int, width: int, *, blur: float) -> NDArray[np.float32]:
    """A disc that moves, [count, height, width, 1], 0..255; blur: standard deviation of its edge in pixels, 0: hard."""
    rows, columns = np.mgrid[:height, :width]
    made = []
    for t in range(count):
        inside = (columns - width * 0.4 - 2 * t) ** 2 + (rows - height * 0.5) ** 2 < (height * 0.2) ** 2
        disc = inside.astype(np.float32) * 255
        made.append(np.asarray(cv2.GaussianBlur(disc, (0, 0), blur), np.float32) if blur else disc)
    return np.stack(made)[..., None]


def repeated(frames: NDArray[Any], megabytes: int) -> NDArray[Any]:
    """`frames` over and over, or the first of them: about `megabytes` MB, at least one frame."""
    count = max(1, round(megabytes * 1e6 / frames[0].nbytes))
    return np.ascontiguousarray(frames[np.arange(count) % len(frames)])
