"""What every large depth model offers, and what it is given. Plain data and protocols.

Must not know: any model, artifacts, stages, or torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services import frames

Floats = NDArray[np.float32]


class Clip(Protocol):
    """Frames of a clip, one at a time: reading frame after frame never needs the memory of many."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Frames, height, width."""

    def frame(self, t: int) -> Floats:
        """Frame t [H, W, 3] float32 0..1."""


@dataclass(frozen=True)
class Watch:
    """Who looks on. check: raises Cancelled when somebody asked to stop. progress: told (done, total, kind)."""

    check: Callable[[], None]
    progress: Callable[[int, int, str], None]


@dataclass(frozen=True)
class Size:
    """Height and width in pixels."""

    height: int
    width: int


class DepthEstimator(Protocol):
    """A depth model with its weights."""

    @property
    def whole_range(self) -> bool:
        """Whether the clip's least and greatest value mean far and near; otherwise outliers are cut off first."""

    def estimate(self, clip: Clip, *, size: Size, watch: Watch) -> Iterator[tuple[int, Floats]]:
        """(first frame, disparity [t, h, w] float32 at `size`), in order, every frame once.

        Greater is nearer; zero and unit are the model's own, but the same for all frames of the clip.
        Memory does not grow with the clip.
        """


class StoredClip:
    """A clip in an array [T, H, W, 3] of whole numbers; the chunk that was read last is kept."""

    def __init__(self, array: Any) -> None:
        self._array = array
        self._first = 0
        self._chunk: NDArray[Any] = np.zeros((0,))

    @property
    def shape(self) -> tuple[int, int, int]:
        total, height, width = self._array.shape[:3]
        return int(total), int(height), int(width)

    def frame(self, t: int) -> Floats:
        if not self._first <= t < self._first + len(self._chunk):
            step = int(self._array.chunks[0])
            self._first = t // step * step
            self._chunk = np.asarray(self._array[self._first : self._first + step])
        return frames.to_float(self._chunk[t - self._first])
