"""The clip at the size the tracker works at, in bounded memory.

Tracking wants random access in time (the camera's path, references before and after a frame) at a size that does not
depend on the clip's. Frames are read once, in order, shrunk and kept compressed. This module must not know what is
tracked.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

# Larger than this buys no accuracy from the optical flow and costs time in proportion to the area.
LONG_SIDE = 640
_JPEG_QUALITY = 97
# Frames kept decoded: the references of one frame reach this far, and neighbours share them.
_DECODED = 100

Float = NDArray[np.float32]
Byte = NDArray[np.uint8]
# Lab scaled so that equal distances look about equally different in textured footage: chroma counts more than light.
LAB_WEIGHTS = np.array([0.7, 1.3, 1.3], np.float32)


class FrameSource(Protocol):
    """Anything with `.shape` (T, H, W, 3) that gives an RGB uint8 [H, W, 3] frame for an int: an array, a Zarr
    array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, frame: int, /) -> Any: ...


def working_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) of the frames the tracker works on: long side at most LONG_SIDE, never enlarged."""
    scale = min(1.0, LONG_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


class WorkingClip:
    """The whole clip at working size. `rgb`, `grey`, `lab` and `small` are views of one frame."""

    def __init__(self, frames: FrameSource, *, each: Callable[[int], None]) -> None:
        """Reads every frame once. `each(t)` is called after frame t; it may raise to stop."""
        self.length = int(frames.shape[0])
        self.height, self.width = working_size(int(frames.shape[1]), int(frames.shape[2]))
        self._encoded: list[Byte] = []
        self._small: OrderedDict[int, Byte] = OrderedDict()
        for t in range(self.length):
            self._encoded.append(_encode(_shrink(np.asarray(frames[t]), self.height, self.width)))
            each(t)

    def rgb(self, t: int) -> Byte:
        """[h, w, 3] uint8."""
        return np.asarray(cv2.imdecode(self._encoded[t], cv2.IMREAD_COLOR_RGB), np.uint8)

    def grey(self, t: int) -> Byte:
        """[h, w] uint8."""
        return np.asarray(cv2.cvtColor(self.rgb(t), cv2.COLOR_RGB2GRAY), np.uint8)

    def lab(self, t: int) -> Float:
        """[h, w, 3] float32 CIE Lab, L 0..100."""
        return to_lab(self.rgb(t))

    def small(self, t: int) -> Byte:
        """[h/2, w/2, 3] uint8: blurred, weighted Lab in half units, for comparing frames far apart in time."""
        if t not in self._small:
            size = (max(1, self.width // 2), max(1, self.height // 2))
            lab = to_lab(np.asarray(cv2.resize(self.rgb(t), size, interpolation=cv2.INTER_AREA), np.uint8))
            lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), 0.7)) * (2 * LAB_WEIGHTS)
            self._small[t] = np.clip(lab + np.array([0, 128, 128], np.float32), 0, 255).astype(np.uint8)
            if len(self._small) > _DECODED:
                self._small.popitem(last=False)
        return self._small[t]


def to_lab(rgb: Byte) -> Float:
    """[h, w, 3] uint8 RGB -> float32 CIE Lab."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2Lab), np.float32)


def _shrink(frame: NDArray[Any], height: int, width: int) -> Byte:
    # Sources deeper than 8 bit lose nothing a tracker could use.
    frame = (frame >> 8).astype(np.uint8) if frame.dtype == np.uint16 else frame.astype(np.uint8, copy=False)
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _encode(frame: Byte) -> Byte:
    _, data = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return np.asarray(data, np.uint8)
