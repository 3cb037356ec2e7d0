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
        self._open: dict[int, dict[int, NDArray[Any]]] = {}

    def put(self, t: int, frame: NDArray[Any]) -> None:
        """Frame number `t`, [...] of the array's type."""
        start = t - t % self._step
        stop = min(start + self._step, self._length)
        chunk = self._open.setdefault(start, {})
        chunk[t] = frame
        if len(chunk) == stop - start:
            self._array[start:stop] = np.stack([chunk[i] for i in range(start, stop)])
            del self._open[start]
