"""What is measured, as pure functions on arrays.

Videos are float32 [T, h, w, 3] in 0..1, regions boolean [T, h, w]. A measure over fewer than LEAST pixels is None:
a mean over a handful of pixels says nothing, and a scene without shadows has no effect region at all. Means over
scenes are means of the scenes' values, in dB where the value is in dB, over the scenes that have one.
Must not know: scenes, methods, or how the numbers are shown.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Video = NDArray[np.float32]
Where = NDArray[np.bool_]

CAP = 60.0
"""PSNR of a perfect copy, in dB. Rounding to 8 bit alone gives 59, so that nothing real lies above."""
LEAST = 64
OPAQUE = 0.5


def psnr(result: Video, truth: Video, where: Where | None = None) -> float | None:
    """PSNR in dB against peak 1, over all channels of the pixels in `where` (default: all); CAP at most."""
    if where is not None and np.count_nonzero(where) < LEAST:
        return None
    squared = np.square(result - truth)
    mean = float(np.mean(squared if where is None else squared[where], dtype=np.float64))
    return CAP if mean <= 10 ** (-CAP / 10) else -10 * float(np.log10(mean))


def ssim(result: Video, truth: Video) -> float:
    """Structural similarity as its authors define it: Gaussian window of 11 pixels and deviation 1.5, population
    statistics, K = 0.01 and 0.03, per channel and frame, mean over the places where the window fits inside."""
    return float(np.mean([_ssim(a, b) for a, b in zip(result, truth, strict=True)]))


def _ssim(first: Video, second: Video) -> float:
    c1, c2 = 0.01**2, 0.03**2
    a, b = first.astype(np.float64), second.astype(np.float64)
    mean_a, mean_b = _window(a), _window(b)
    var_a, var_b = _window(a * a) - mean_a**2, _window(b * b) - mean_b**2
    shared = _window(a * b) - mean_a * mean_b
    values = (2 * mean_a * mean_b + c1) * (2 * shared + c2)
    values /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float(values[5:-5, 5:-5].mean())


def _window(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5), np.float64)


def flicker(result: Video, truth: Video, where: Where) -> float | None:
    """Mean absolute difference, in codes of 255, between the change of `result` and that of `truth` from frame to
    frame, over the pixels that are in `where` in both frames. A constant error does not flicker."""
    inside = where[1:] & where[:-1]
    if np.count_nonzero(inside) < LEAST:
        return None
    difference = np.diff(result, axis=0) - np.diff(truth, axis=0)
    return float(np.abs(difference)[inside].mean(dtype=np.float64)) * 255


def alpha_sad(alpha: Video, truth: Video) -> float:
    """Sum of absolute differences of alphas [T, h, w], per frame, in thousands."""
    return float(np.abs(alpha - truth).sum(dtype=np.float64)) / len(truth) / 1000


def alpha_mse(alpha: Video, truth: Video) -> float:
    """Mean squared difference of alphas [T, h, w], times 1000."""
    return float(np.square(alpha - truth).mean(dtype=np.float64)) * 1000


def foreground_error(rgb: Video, truth: Video, alpha: Video) -> float | None:
    """Mean absolute difference, in codes of 255, of straight colours [T, h, w, 3], weighted by the true alpha
    [T, h, w]: where the layer is clear its colour is nobody's business."""
    weight = float(alpha.sum(dtype=np.float64))
    if weight < LEAST:
        return None
    return float((np.abs(rgb - truth).mean(axis=-1) * alpha).sum(dtype=np.float64)) / weight * 255


def iou(mask: Where, truth: Where) -> float | None:
    """Intersection over union of boolean maps; None where both are empty."""
    union = np.count_nonzero(mask | truth)
    return None if union == 0 else np.count_nonzero(mask & truth) / union


def pair_order(order: NDArray[np.integer], truth: NDArray[np.integer], counted: Where) -> tuple[int, int]:
    """Pairs of objects in the right order, and all pairs looked at.

    order, truth: [T, N], objects from back to front. counted: [T, N, N], pairs that matter in a frame (i < j is read).
    """
    rank, true_rank = np.argsort(order, axis=1), np.argsort(truth, axis=1)
    right = total = 0
    for i in range(order.shape[1]):
        for j in range(i + 1, order.shape[1]):
            matters = counted[:, i, j]
            same = (rank[:, i] < rank[:, j]) == (true_rank[:, i] < true_rank[:, j])
            right, total = right + int((same & matters).sum()), total + int(matters.sum())
    return right, total


def crossings(masks: NDArray[np.uint8], alphas: Video | None) -> Where:
    """[T, N, N], symmetric: the pairs of objects of which one hides part of the other.

    masks: [T, h, w, N], visible parts. alphas: [N, T, h, w] of the complete objects with effects, or None; then pairs
    whose masks touch are taken. Effects are left out by taking alpha only from OPAQUE on.
    """
    frames, count = masks.shape[0], masks.shape[-1]
    crossing = np.zeros((frames, count, count), np.bool_)
    whole = masks.transpose(3, 0, 1, 2) > 0 if alphas is None else alphas > OPAQUE
    for t in range(frames):
        near = [cv2.dilate(masks[t, ..., n], np.ones((3, 3), np.uint8)) > 0 for n in range(count)]
        for i in range(count):
            for j in range(i + 1, count):
                hidden = near[i] & near[j]
                if alphas is not None:
                    hidden = (whole[i, t] & (masks[t, ..., j] > 0)) | (whole[j, t] & (masks[t, ..., i] > 0))
                crossing[t, i, j] = crossing[t, j, i] = np.count_nonzero(hidden) >= 16
    return crossing


def mean(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are not None; None if there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
