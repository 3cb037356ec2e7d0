"""Depths of objects that agree with who hides whom. Pure functions.

An object's depth is vague, and where two objects touch a wrong order shows. There, four witnesses are asked on every
frame: who covers whom while both move, who looks bitten into, the estimated depths, and whose foot is lower. The order
that agrees best with them over the clip is kept, at a price for every change, and the depths are moved to it.
Must not know: artifacts, stages, or how depth was estimated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services import order
from services.depth import guide, occlusion

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Scores = NDArray[np.float64]

# Chosen on pictures of the training split only.
_COVERS, _BITES, _DEPTH, _FOOT = 1.0, 0.2, 0.1, 0.05
_ENOUGH = 16.0
_CHANGE_COST = 12.0
_MARGIN = 0.06


def settled(depths: Floats, greys: Bytes, masks: Bytes) -> Floats:
    """`depths` [T, N] (0 far .. 1 near, NaN unseen), changed where objects touch so that what hides is nearer.

    greys: [T, h, w] uint8 and masks: [T, h, w, N] 0 or 255, disjoint, the clip at base resolution.
    """
    total, count = depths.shape
    met = np.stack([occlusion.touching(frame) for frame in masks]) if total else np.zeros((0, count, count), np.bool_)
    met &= ~np.isnan(depths)[:, :, None] & ~np.isnan(depths)[:, None, :]
    if not met.any():
        return depths
    score = _scores(depths, greys, masks) * met
    result = depths.copy()
    confidence = order.decide(score, change_cost=_CHANGE_COST) * met
    for t in np.flatnonzero(met.any(axis=(1, 2))):
        result[t] = order.agree(depths[t], order.merge(confidence[t]), met[t], margin=_MARGIN)
    return result


def _scores(depths: Floats, greys: Bytes, masks: Bytes) -> Scores:
    """[T, N, N] antisymmetric; positive: the first is in front."""
    feet = np.array([[_foot(frame[..., i]) for i in range(masks.shape[-1])] for frame in masks])
    bites = np.stack([occlusion.bites(frame) for frame in masks])
    return np.asarray(
        _COVERS * order.witness(occlusion.coverage(greys, masks), enough=_ENOUGH)
        + _BITES * order.witness(bites, enough=_ENOUGH)
        + _DEPTH * order.nearer(depths)
        + _FOOT * order.nearer(feet)
    )


def _foot(mask: Bytes) -> float:
    row = guide.contact_row(mask)
    return np.nan if row is None else row
