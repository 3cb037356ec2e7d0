"""Square crops of one frame, as tensors: mostly around what matters, one in two mirrored.

Must not know: what the pictures show. Clips' crops, which must not leave the clip, are augment.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Planes = Mapping[str, NDArray[Any]]
Rng = np.random.Generator


def crop(planes: Planes, matters: NDArray[np.bool_], rng: Rng, *, size: int, centred: float) -> dict[str, Tensor]:
    """One crop [C, size, size] float32 of all planes [C, h, w]. What is smaller than the crop is reflected.

    matters: [h, w]; a share `centred` of crops is taken around one of its pixels, if it has any.
    """
    height, width = matters.shape
    where = np.argwhere(matters)
    if len(where) and rng.random() < centred:
        cy, cx = where[rng.integers(len(where))] - size // 2 + rng.integers(-size // 3, size // 3, 2)
    else:
        cy, cx = rng.integers(height), rng.integers(width)
    y, x = (int(np.clip(at, 0, max(0, side - size))) for at, side in ((cy, height), (cx, width)))
    pieces = {name: _filled(plane[:, y : y + size, x : x + size], size) for name, plane in planes.items()}
    return maybe_mirrored(pieces, rng)


def maybe_mirrored(planes: Planes, rng: Rng) -> dict[str, Tensor]:
    """The planes [C, h, w] as float32 tensors, left and right exchanged in one of two calls."""
    flip = rng.random() < 0.5
    return {
        name: torch.from_numpy(np.ascontiguousarray(plane[..., ::-1] if flip else plane, dtype=np.float32))
        for name, plane in planes.items()
    }


def _filled(piece: NDArray[Any], size: int) -> NDArray[Any]:
    return np.pad(piece, [(0, 0), (0, size - piece.shape[1]), (0, size - piece.shape[2])], mode="symmetric")
