"""The arithmetic of layers: over, transmission, checkerboard, PSNR. Pure functions on arrays.

Colours are straight (not premultiplied), values 0..1, float32. Layers are given front to back, as an order is read.
Must not know: stages, files, or how layers were made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32; numpy's stubs widen it at every step

PERFECT_DB = 100.0
"""What `psnr` answers for identical images, so that it stays a number in JSON."""


def over(front: Floats, alpha: Floats, back: Floats) -> Floats:
    """`front` [..., 3] with opacity `alpha` [..., 1] over the opaque `back` [..., 3]."""
    result: Floats = back + alpha * (front - back)
    return result


def composite(colors: Sequence[Floats], alphas: Sequence[Floats], background: Floats) -> Floats:
    """All layers over `background`, painted back to front (paper App. D).

    colors: [..., 3] each, alphas: [..., 1] each, both front to back.
    """
    result = background
    for color, alpha in zip(reversed(colors), reversed(alphas), strict=True):
        result = over(color, alpha, result)
    return result


def transmissions(alphas: Sequence[Floats]) -> list[Floats]:
    """How much light of each depth reaches the eye: for every layer, front to back, and last for the background.

    Returns len(alphas) + 1 arrays of the alphas' shape; the first is all ones.
    """
    passing = [np.ones_like(alphas[0])] if alphas else []
    for alpha in alphas:
        passing.append(passing[-1] * (1.0 - alpha))
    return passing


def checkerboard(height: int, width: int, *, cell: int = 16, light: float = 0.8, dark: float = 0.6) -> Floats:
    """[height, width, 3], squares of `cell` pixels, the light one at the top left."""
    rows, columns = np.arange(height)[:, None] // cell, np.arange(width)[None, :] // cell
    board = np.where((rows + columns) % 2 == 0, np.float32(light), np.float32(dark))
    return np.repeat(board[..., None], 3, axis=2).astype(np.float32)


def psnr(first: NDArray[np.generic], second: NDArray[np.generic], *, peak: float) -> float:
    """Peak signal-to-noise ratio in dB of two arrays of one shape; PERFECT_DB at most."""
    difference = first.astype(np.float64) - second.astype(np.float64)
    return psnr_of_error(float(np.mean(difference**2)), peak=peak)


def psnr_of_error(mean_square: float, *, peak: float) -> float:
    """PSNR in dB of a mean squared error; PERFECT_DB at most."""
    if mean_square <= 0:
        return PERFECT_DB
    return float(min(PERFECT_DB, 10 * np.log10(peak**2 / mean_square)))
