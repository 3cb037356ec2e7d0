"""The whole of an object that was partly hidden: its mask, segmented anew on the solo video.

In the input another object may stand in front; in the solo video that is gone, and what it hid is painted. There the
given mask is silent, so alpha would have to guess. Colour models of the object and of its surroundings, learned on the
same frame where the masks do speak, and a graph cut decide (GrabCut, Rother et al. 2004).

Arrays are float32 in 0..1, frames [h, w, 3], maps [h, w]. Must not know: artifacts, alpha.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_ROUNDS = 3
_REACH = 2
"""Pixels around the other objects in which the given mask is not trusted to end where the object ends."""
_SAME = 0.03
"""Where the solo video differs from the background by less, nothing stands."""
_WINDOW = 5
_SMALLEST = 12
"""Pixels of object and of surroundings that a colour model needs."""


def completed(solo: Array, background: Array, own: Array, others: Array) -> Array:
    """`own` with the parts of the object that `others` hid: coverage of the object's whole mask."""
    hidden = _hidden(solo, background, own, others)
    if not hidden.any():
        return own
    sure = _eroded(own > 0.5)
    free = (others < 0.02) & (own < 0.02)
    if sure.sum() < _SMALLEST or free.sum() < _SMALLEST:
        return own
    labels = np.full(own.shape, cv2.GC_BGD, np.uint8)
    labels[own > 0.5] = cv2.GC_FGD
    labels[hidden] = cv2.GC_PR_FGD
    image = np.ascontiguousarray((solo[..., ::-1] * 255 + 0.5).astype(np.uint8))
    models = np.zeros((1, 65)), np.zeros((1, 65))
    # Its colour models begin with random clusters; the same frame must always give the same mask.
    cv2.setRNGSeed(0)
    cv2.grabCut(image, labels, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)  # type: ignore[call-overload]
    found = _attached((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), own > 0.5)
    return np.maximum(own, (found & hidden).astype(np.float32))


def _hidden(solo: Array, background: Array, own: Array, others: Array) -> NDArray[np.bool_]:
    """Where the object may go on behind others: under their masks, and where there is anything at all."""
    size = 2 * _REACH + 1
    near = cv2.dilate((others > 0.02).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    there = cv2.blur(np.abs(solo - background).max(axis=-1), (3, 3)) > _SAME
    region: NDArray[np.bool_] = near & there & ~_shaded(solo, background) & (own <= 0.5)
    return _attached(region | (own > 0.5), own > 0.5) & region


def _shaded(solo: Array, background: Array) -> NDArray[np.bool_]:
    """Where the solo video is the background under another light: an effect and no object."""

    def around(values: Array) -> Array:
        return np.asarray(cv2.blur(values.sum(axis=-1), (_WINDOW, _WINDOW)), np.float32)

    light = around(solo * background) / np.maximum(around(background * background), 1e-4)
    left = np.sqrt(around(np.square(solo - light[..., None] * background)))
    shaded: NDArray[np.bool_] = (left < _SAME) & (light < 1)
    return shaded


def _attached(region: NDArray[np.bool_], to: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of `region` that hold some of `to`."""
    _, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=8)
    kept: NDArray[np.bool_] = np.isin(labels, np.unique(labels[to & region])) & region
    return kept


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    small: NDArray[np.bool_] = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return small
