"""Frames at working resolution by index, with only the neighbourhood in use kept in memory."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from services import frames
from services.arrays import ZarrArray


class FrameReader:
    """`reader(i)`: frame i [height, width, 3] uint8. The `keep` frames used last (in whole chunks) stay in memory."""

    def __init__(self, source: ZarrArray, *, height: int, width: int, keep: int) -> None:
        self._source, self._size = source, (height, width)
        self._chunk = int(source.chunks[0])
        self._keep = -(-keep // self._chunk) + 1
        self._held: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()

    def __call__(self, index: int) -> NDArray[np.uint8]:
        number = index // self._chunk
        if number not in self._held:
            start = number * self._chunk
            stop = min(start + self._chunk, self._source.shape[0])
            if len(self._held) >= self._keep:
                self._held.popitem(last=False)
            # One by one: a chunk at native size need not exist as bytes a second time.
            native = self._source[start:stop]
            self._held[number] = np.concatenate([self._reduced(native[i : i + 1]) for i in range(stop - start)])
        self._held.move_to_end(number)
        return np.asarray(self._held[number][index - number * self._chunk])

    def _reduced(self, native: NDArray[np.generic]) -> NDArray[np.uint8]:
        return np.asarray(frames.to_bytes(frames.resized(native, *self._size)))
