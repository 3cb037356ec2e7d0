"""The colour of a layer once its alpha is known: un-compositing, and what to assume where the layer is empty.

For a given alpha the best foreground colour of every pixel has a closed form. So colour, which the paper optimises as
one variable per pixel (section 3.5), needs no optimiser here, no memory of its own and no iterations.
Arrays are float32 in 0..1, frames [h, w, 3], maps [h, w].

Must not know: where alpha came from.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def uncomposited(solo: Array, background: Array, alpha: Array, *, prior: Array, trust: float) -> Array:
    """The colour F in 0..1 that minimises |alpha F + (1 - alpha) B - I|^2 + trust |F - prior|^2."""
    a = alpha[..., None]
    colour = (a * (solo - (1 - a) * background) + trust * prior) / (a * a + trust)
    return np.asarray(np.clip(colour, 0, 1), np.float32)


def expected(solo: Array, background: Array, alpha: Array, inside: Array) -> Array:
    """The colour to expect of each pixel: inside the object its own, in its effects theirs, elsewhere the nearest.

    inside: coverage of the part of the mask that is surely object. Filling the empty part keeps foreign colours from
    bleeding in when somebody scales or blurs the layer.
    """
    own = uncomposited(solo, background, alpha, prior=solo, trust=1e-3)
    return spread(own, np.maximum(inside, 0.1 * alpha * alpha))


def spread(colour: Array, weight: Array) -> Array:
    """`colour` where `weight` is high, blending into coarser and coarser averages of it where it is low."""
    height, width = weight.shape
    weighted = colour * weight[..., None]
    if min(height, width) <= 2:
        total = float(weight.sum())
        mean = weighted.sum((0, 1)) / total if total > 1e-8 else np.full(3, 0.5)
        return np.asarray(np.broadcast_to(mean, colour.shape), np.float32)
    size = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    halved = cv2.resize(weighted, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-8)[..., None]
    coarse = spread(np.asarray(halved, np.float32), np.minimum(4 * share, 1))
    below = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    certain = np.minimum(4 * weight, 1)[..., None]
    return np.asarray(certain * colour + (1 - certain) * below, np.float32)
