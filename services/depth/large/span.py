"""A clip's disparities to 0 far .. 1 near. Pure functions, and a store on disk between the two passes.

What is far and what is near is known only after the last frame, so the maps wait in a temporary file meanwhile.
Must not know: artifacts, stages, or how depth was estimated.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.depth.large.estimator import Size

Floats = NDArray[np.float32]

_TAIL = 0.01
"""Share of a frame's pixels, and of the clip's frames, that may lie beyond the ends."""


@dataclass(frozen=True)
class Span:
    """Disparity of what is far (0) and near (1)."""

    far: float
    near: float

    def apply(self, maps: Floats) -> Floats:
        """Maps as 0 far .. 1 near; all 0.5 where the clip has no depth at all."""
        if not self.near > self.far:
            return np.full_like(maps, 0.5)
        return np.asarray(np.clip((maps - self.far) / (self.near - self.far), 0, 1), np.float32)


@dataclass
class Ends:
    """The far and near end of each frame so far; `whole`: least and greatest value, else a hundredth may lie beyond."""

    whole: bool
    _far: list[float] = field(default_factory=list)
    _near: list[float] = field(default_factory=list)

    def add(self, maps: Floats) -> None:
        for each in maps:
            far, near = (each.min(), each.max()) if self.whole else np.quantile(each, [_TAIL, 1 - _TAIL])
            self._far.append(float(far))
            self._near.append(float(near))

    def span(self) -> Span:
        tail = 0.0 if self.whole else _TAIL
        return Span(float(np.quantile(self._far, tail)), float(np.quantile(self._near, 1 - tail)))


class Shelf:
    """Maps [T, h, w] float32 in a temporary file, which goes with the object."""

    def __init__(self, total: int, size: Size) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the maps are
        self._maps = np.memmap(self._file, np.float32, "w+", shape=(total, size.height, size.width))

    def put(self, first: int, maps: Floats) -> None:
        self._maps[first : first + len(maps)] = maps

    def get(self, start: int, stop: int) -> Floats:
        return np.array(self._maps[start:stop], np.float32)
