"""Binary labelling by an exact minimum cut over per-pixel evidence and image edges.

OpenCV carries a max-flow solver only inside GrabCut, behind colour mixtures that it learns itself. This module hands it
two frozen one-component mixtures and an image whose third channel *is* the evidence, so that GrabCut's data term equals
the caller's log-odds and only its solver is used. It must not know where the evidence comes from.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

# GrabCut's own weight of an edge between two equal pixels; the evidence is scaled against it.
_GRABCUT_GAMMA = 50.0
# The evidence channel spans this many grey levels, so that its own steps do not drown the edges of the picture.
_SPAN = 40.0


def minimum_cut(
    log_odds: Float,
    guide: NDArray[np.uint8],
    *,
    smoothness: float = 4.0,
    certainty: float = 6.0,
) -> NDArray[np.bool_]:
    """The mask that best fits `log_odds` with a boundary on the edges of `guide`.

    Args:
        log_odds: [h, w] natural-log odds of "object", any range; beyond +-`certainty` a pixel is certain.
        guide: [h, w, 2] two-channel picture whose edges attract the boundary.
        smoothness: cost in nats of cutting between two equal pixels.
        certainty: where the odds saturate.

    Returns:
        [h, w] bool.
    """
    if not (log_odds > 0).any():
        return np.zeros(log_odds.shape, np.bool_)
    middle = 128.0
    level = np.clip(log_odds / certainty, -1, 1) * (_SPAN / 2) + middle
    image = np.dstack([guide, np.rint(level).astype(np.uint8)])
    # Two Gaussians `_SPAN` apart with variance v differ by SPAN * (level - middle) / v in log-density.
    variance = _SPAN * (_SPAN / 2) / (certainty * _GRABCUT_GAMMA / smoothness)
    background = _frozen_mixture(middle - _SPAN / 2, variance)
    foreground = _frozen_mixture(middle + _SPAN / 2, variance)
    state = np.where(log_odds > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cv2.grabCut(image, state, (0, 0, 1, 1), background, foreground, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return (state & 1) > 0


def _frozen_mixture(level: float, variance: float) -> NDArray[np.float64]:
    """GrabCut's [1, 65] model (5 weights, 5x3 means, 5x9 covariances) with one component that looks at channel 3."""
    model = np.zeros((1, 65))
    model[0, 0] = 1
    model[0, 5:8] = (128, 128, level)
    # The guide's two channels get a variance so large, and equal in both mixtures, that they cancel.
    model[0, 20:29] = np.diag([1e6, 1e6, variance]).ravel()
    return model


def edge_guide(lab: Float) -> NDArray[np.uint8]:
    """[h, w, 2] uint8: lightness and the strongest chroma direction of a CIE Lab picture (`lab` [h, w, 3], L
    0..100)."""
    chroma = lab[..., 1:].reshape(-1, 2)
    chroma = chroma - chroma.mean(0)
    _, directions = np.linalg.eigh(chroma.T @ chroma)
    strongest = (chroma @ directions[:, 1]).reshape(lab.shape[:2])
    return np.clip(np.dstack([lab[..., 0] * 2.0, strongest * 2.0 + 128]), 0, 255).astype(np.uint8)
