"""Writing an array frame by frame in whole chunks: a part of one would be read back and written again.

Must not know: what the frames are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class ChunkWriter:
    """Collects frames, which may come in any order but each once, until a chunk of `array` is whole."""

    def __init__(self, array: Any) -> None:
        self._array, self._step, self._length = array, int(array.chunks[0]), int(array.shape[0])
        self._open: dict[int, _Chunk] = {}

    def put(self, t: int, frame: NDArray[Any]) -> None:
        """Frame number `t`, [...] of the array's type; it is copied."""
        start = t - t % self._step
        stop = min(start + self._step, self._length)
        if start not in self._open:
            self._open[start] = _Chunk(np.empty((stop - start, *self._array.shape[1:]), self._array.dtype))
        chunk = self._open[start]
        chunk.frames[t - start] = frame
        chunk.missing -= 1
        if chunk.missing == 0:
            self._array[start:stop] = chunk.frames
            del self._open[start]


class _Chunk:
    """Frames [n, ...] in place as they come: collecting them first would hold the chunk twice when it is whole."""

    def __init__(self, frames: NDArray[Any]) -> None:
        self.frames, self.missing = frames, len(frames)
