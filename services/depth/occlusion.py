"""Which of two touching objects hides the other, seen in how their masks change while they move. Pure functions.

The line along which two objects meet belongs to the one in front: it travels with that one, and cuts into the other.
So each object's mask is carried from other frames to this one by the object's own motion, estimated from what can be
seen of it in both; where the carried mask is covered by the other object's visible mask, the other one hides it. A
still picture has one more, weaker sign: what is hidden looks bitten into, the other lies within its convex outline.
Must not know: artifacts, stages, or depth.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Bools = NDArray[np.bool_]
Counts = NDArray[np.float64]
Matrix = NDArray[np.float64]

REACH = 2
"""Masks at most this many pixels apart touch."""
GAPS = (-16, -8, -4, -2, -1, 1, 2, 4, 8, 16)
"""Other frames that are asked, relative to the one in question."""
_POINTS, _FEWEST = 60, 6
_SHARED = 0.35
"""Share of the points that must be found again for a motion to count."""


def touching(masks: Bytes, *, reach: int = REACH) -> Bools:
    """[N, N] symmetric: which of the masks [h, w, N] (0 or 255) come within `reach` pixels of each other."""
    count = masks.shape[-1]
    met = np.zeros((count, count), np.bool_)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    grown = [np.asarray(cv2.dilate(np.ascontiguousarray(masks[..., i]), disc)) > 0 for i in range(count)]
    for i, j in combinations(range(count), 2):
        met[i, j] = met[j, i] = bool((grown[i] & (masks[..., j] > 0)).any())
    return met


def coverage(greys: Bytes, masks: Bytes, *, gaps: Sequence[int] = GAPS) -> Counts:
    """[T, N, N]: [t, i, j] = pixels of i that j's visible mask seems to cover on frame t, so that j is in front of i.

    greys: [T, h, w] uint8. masks: [T, h, w, N] 0 or 255, the visible parts. Zero for pairs that do not touch.
    The mean over the other frames on which the object's motion could be found.
    """
    total, count = masks.shape[0], masks.shape[-1]
    found = np.zeros((total, count, count))
    for t in range(total):
        met = touching(masks[t])
        cores = [_core(masks[t, ..., j]) for j in range(count)]
        for i in np.flatnonzero(met.any(axis=1)):
            carried = list(_carried(greys, masks[..., i], t, gaps))
            for j in np.flatnonzero(met[i]):
                if carried:
                    found[t, i, j] = np.mean([np.count_nonzero((mask > 127) & cores[j]) for mask in carried])
    return found


def bites(masks: Bytes) -> Counts:
    """[N, N]: [i, j] = pixels of j within the convex outline of i, for masks [h, w, N]. Zero unless they touch."""
    met = touching(masks)
    found = np.zeros(met.shape)
    for i in np.flatnonzero(met.any(axis=1)):
        hull = _convex(masks[..., i])
        for j in np.flatnonzero(met[i]):
            found[i, j] = np.count_nonzero(hull & _core(masks[..., j]))
    return found


def _carried(greys: Bytes, masks: Bytes, t: int, gaps: Sequence[int]) -> Iterator[Bytes]:
    """One object's masks [T, h, w] of the frames at `gaps` from t, each carried to t by the object's own motion."""
    for gap in gaps:
        s = t + gap
        if 0 <= s < len(masks):
            motion = _motion(greys[s], greys[t], masks[s], masks[t])
            if motion is not None:
                yield np.asarray(cv2.warpAffine(masks[s], motion, masks.shape[:0:-1]), np.uint8)


def _motion(start: Bytes, end: Bytes, first: Bytes, second: Bytes) -> Matrix | None:
    """The similarity [2, 3] that takes the object from mask `first` of `start` to mask `second` of `end`, or None."""
    corners = cv2.goodFeaturesToTrack(
        start, _POINTS, 0.005, 2, mask=np.asarray(cv2.erode(first, np.ones((3, 3), np.uint8)))
    )
    if corners is None or len(corners) < _FEWEST:
        return None
    points = np.asarray(corners, np.float32)
    guess = np.asarray(points + _shift(first, second), np.float32)
    there = _follow(start, end, points, guess)
    back = _follow(end, start, there, points.copy())
    place = np.clip(np.rint(there[:, 0]).astype(int), 0, [end.shape[1] - 1, end.shape[0] - 1])
    good = (np.linalg.norm(back - points, axis=2)[:, 0] < 0.7) & (second[place[:, 1], place[:, 0]] > 0)
    if good.sum() < max(_FEWEST, _SHARED * len(points)):
        return None
    cv2.setRNGSeed(0)
    motion, kept = cv2.estimateAffinePartial2D(points[good], there[good], method=cv2.RANSAC, ransacReprojThreshold=1.0)
    if motion is None or kept.sum() < max(_FEWEST, 0.5 * good.sum()):
        return None
    return np.asarray(motion, np.float64)


def _follow(start: Bytes, end: Bytes, points: NDArray[np.float32], guess: NDArray[np.float32]) -> NDArray[np.float32]:
    moved, _, _ = cv2.calcOpticalFlowPyrLK(
        start, end, points, guess.astype(np.float32), winSize=(11, 11), maxLevel=2, flags=cv2.OPTFLOW_USE_INITIAL_FLOW
    )
    return np.asarray(moved, np.float32)


def _shift(first: Bytes, second: Bytes) -> NDArray[np.float32]:
    """[1, 1, 2] from the middle of one mask to the middle of the other: where to begin to look."""
    middles = []
    for mask in (first, second):
        rows, columns = np.nonzero(mask)
        middles.append([columns.mean(), rows.mean()] if len(rows) else [0.0, 0.0])
    return np.asarray(np.subtract(middles[1], middles[0]), np.float32).reshape(1, 1, 2)


def _core(mask: Bytes) -> Bools:
    """The mask without its rim, which antialiasing shares between both objects."""
    return np.asarray(cv2.erode(np.ascontiguousarray(mask), np.ones((3, 3), np.uint8))) > 0


def _convex(mask: Bytes) -> Bools:
    canvas = np.zeros(mask.shape, np.uint8)
    points = cv2.findNonZero(np.ascontiguousarray(mask))
    if points is not None:
        cv2.fillConvexPoly(canvas, np.asarray(cv2.convexHull(points)), 1)
    return canvas > 0
