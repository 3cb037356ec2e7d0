"""Samples out of a pool: what is slow to make stays in memory and is drawn from more than once.

Must not know: what is kept, or what a sample is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

import cv2
import numpy as np
import torch

Item = TypeVar("Item")
Rng = np.random.Generator


def worker_rng(seed: int) -> Rng:
    """The random numbers of this data-loading worker. OpenCV is held to one thread: workers are the parallelism."""
    cv2.setNumThreads(1)
    info = torch.utils.data.get_worker_info()
    return np.random.default_rng([seed, info.id if info else 0])


class Pool(Generic[Item]):
    """Up to `size` items; beyond that a new one takes the place of a random one."""

    def __init__(self, rng: Rng, *, size: int) -> None:
        self._rng, self._size = rng, size
        self._items: list[Item] = []

    def add(self, item: Item) -> None:
        if len(self._items) < self._size:
            self._items.append(item)
        else:
            self._items[self._rng.integers(self._size)] = item

    def draw(self) -> Item:
        """A random item. Raises ValueError if there is none yet."""
        return self._items[self._rng.integers(len(self._items))]


def reused(fresh: Iterable[Iterable[Item]], rng: Rng, *, size: int, reuse: int) -> Iterator[Item]:
    """`reuse` draws from a pool after each group of `fresh` has been added to it."""
    pool: Pool[Item] = Pool(rng, size=size)
    for group in fresh:
        for item in group:
            pool.add(item)
        for _ in range(reuse):
            yield pool.draw()
