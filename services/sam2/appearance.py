"""What pixels look like, and which label similar pixels had before.

A pixel is described by its colour at two scales, its local texture and (weakly) its place. A label's likelihood is the
distance to its nearest remembered samples: no training, no parametric model, a handful of pixels is enough.
This module must not know how masks move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.sam2.frames import LAB_WEIGHTS, Float

# Distance, in feature units (about one CIE Lab unit), at which a sample stops being evidence.
SIGMA = 6.0
_NEIGHBOURS = 3
_CHUNK = 1024
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Samples:
    """Remembered pixels of one label: `features` [n, d], `places` [n, 2] (x, y), and the object's `centre` [2] then."""

    features: Float
    places: Float
    centre: Float

    def placed(self, places: Float, weight: float) -> Float:
        """[n, d + 2] features with `places` as two more coordinates."""
        return np.concatenate([self.features, places * np.float32(weight)], 1)


def describe(lab: Float) -> Float:
    """[h, w, 8] features of a CIE Lab frame: colour, colour around, texture along x and y."""
    lightness = np.ascontiguousarray(lab[..., 0])
    fine = np.asarray(cv2.GaussianBlur(lab, (0, 0), 0.8)) * LAB_WEIGHTS
    coarse = np.asarray(cv2.GaussianBlur(lab, (0, 0), 3.0)) * (0.5 * LAB_WEIGHTS)
    texture = [
        np.asarray(cv2.GaussianBlur(np.abs(cv2.Sobel(lightness, cv2.CV_32F, dx, 1 - dx, ksize=3)), (0, 0), 2.5)) / 5
        for dx in (1, 0)
    ]
    return np.dstack([fine, coarse, *texture]).astype(np.float32)


def take(features: Float, where: Mask, count: int, *, centre: Float, random: np.random.Generator) -> Samples:
    """At most `count` random pixels of `where` [h, w]."""
    index = np.flatnonzero(where)
    if len(index) > count:
        index = random.choice(index, count, replace=False)
    width = where.shape[1]
    places = np.stack([index % width, index // width], -1).astype(np.float32)
    return Samples(features.reshape(-1, features.shape[-1])[index], places, centre.copy())


def together(parts: Sequence[Samples]) -> Samples:
    return Samples(
        np.concatenate([p.features for p in parts]), np.concatenate([p.places for p in parts]), parts[0].centre
    )


def nearest(queries: Float, samples: Float) -> Float:
    """[n] mean squared distance of `queries` [n, d] to their nearest few `samples` [m, d]; far where there are too
    few."""
    if len(samples) <= _NEIGHBOURS:
        return np.full(len(queries), (4 * SIGMA) ** 2, np.float32)
    out = np.empty(len(queries), np.float32)
    norms = (samples**2).sum(1)[None]
    turned = np.ascontiguousarray(samples.T) * -2
    for start in range(0, len(queries), _CHUNK):
        part = queries[start : start + _CHUNK]
        distance = part @ turned
        distance += norms
        distance.partition(_NEIGHBOURS, axis=1)
        out[start : start + _CHUNK] = distance[:, :_NEIGHBOURS].mean(1) + (part**2).sum(1)
    return np.maximum(out, 0)


def log_odds(queries: Float, *, inside: Float, outside: Float, limit: float) -> Float:
    """[n] natural-log odds that `queries` belong with `inside` rather than `outside`, within +-`limit`."""
    difference = nearest(queries, outside) - nearest(queries, inside)
    return np.clip(difference / (2 * SIGMA**2), -limit, limit).astype(np.float32)
