"""What the camera did, and what in a frame does not follow it.

The path of the camera is a chain of homographies fitted to dense optical flow. Two maps follow from it that need no
labels and so never drift: how differently a pixel moves from the scene, and how differently it looks from the same
place of the scene at other times. This module must not know about objects or prompts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.sam2.frames import Byte, Float, WorkingClip

# Other times at which a frame is compared with the scene, in frames: near ones see slow changes, far ones uncover.
_TIMES = (-44, -30, -18, -9, 9, 18, 30, 44)
# Of those comparisons, the fraction that may be spoilt by something in front.
_QUANTILE = 0.3
_STEP = 8
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class FlowPair:
    """Dense optical flow between two frames, both ways; [h, w, 2] in pixels, (x, y)."""

    forward: Float  # from the earlier to the later frame of the sweep
    backward: Float  # from the later to the earlier


def flow_between(before: Byte, after: Byte) -> FlowPair:
    """`before`, `after`: [h, w] grey."""
    return FlowPair(dense_flow(before, after), dense_flow(after, before))


def dense_flow(start: Byte, end: Byte, *, fast: bool = False) -> Float:
    """[h, w, 2] where each pixel of `start` went in `end`, in pixels (x, y)."""
    if min(start.shape) < 32:  # the solver's coarsest level needs this much
        return np.zeros((*start.shape, 2), np.float32)
    preset = cv2.DISOPTICAL_FLOW_PRESET_FAST if fast else cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    return np.asarray(cv2.DISOpticalFlow.create(preset).calc(start, end, None), np.float32)  # type: ignore[call-overload]


def grid(height: int, width: int) -> Float:
    """[h, w, 2] pixel coordinates (x, y)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([x, y], -1)


def warp(image: Float, flow: Float) -> Float:
    """`image` [h, w] or [h, w, c] sampled at every pixel's place plus `flow`; zero outside."""
    where = grid(*flow.shape[:2]) + flow
    out = cv2.remap(image, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)  # type: ignore[call-overload]
    return np.asarray(out, np.float32)


def inconsistency(there: Float, back: Float) -> Float:
    """[h, w] pixels by which following `there` and then `back` misses the start; large where something is uncovered."""
    return np.linalg.norm(warp(back, there) + there, axis=-1).astype(np.float32)


def fit_motion(flow: Float) -> Matrix:
    """The homography that most of `flow` [h, w, 2] agrees with; the identity where nothing does."""
    start = grid(*flow.shape[:2])[::_STEP, ::_STEP].reshape(-1, 2)
    moved = start + flow[::_STEP, ::_STEP].reshape(-1, 2)
    if len(start) < 12:
        return np.eye(3)
    cv2.setRNGSeed(0)  # the same clip gives the same path
    found, _ = cv2.findHomography(start, moved, cv2.RANSAC, 1.0, maxIters=500)
    return np.eye(3) if found is None else np.asarray(found, np.float64)


class Camera:
    """The camera's path through the clip and the maps that follow from it."""

    def __init__(self, clip: WorkingClip, motions: list[Matrix]) -> None:
        """`motions[t]` takes pixels of frame t to frame t+1 (T-1 of them)."""
        self._clip = clip
        self._to = [np.eye(3)]
        for motion in motions:
            ahead = motion @ self._to[-1]
            self._to.append(ahead / ahead[2, 2])

    def between(self, source: int, target: int) -> Matrix:
        """The homography from pixels of frame `source` to pixels of frame `target`."""
        return np.asarray(self._to[target] @ np.linalg.inv(self._to[source]), np.float64)

    def displacement(self, point: Float, source: int, target: int) -> Float:
        """How far the camera's motion moves a point [2]."""
        moved = cv2.perspectiveTransform(point.reshape(1, 1, 2).astype(np.float64), self.between(source, target))
        return (np.asarray(moved).ravel() - point).astype(np.float32)

    def residual(self, flow: Float, source: int, target: int) -> Float:
        """[h, w] pixels by which `flow` (from `source` to `target`) differs from the camera's own motion."""
        pixels = grid(*flow.shape[:2])
        scene = cv2.perspectiveTransform(pixels.reshape(-1, 1, 2), self.between(source, target))
        return np.linalg.norm(pixels + flow - np.asarray(scene).reshape(pixels.shape), axis=-1).astype(np.float32)

    def change(self, t: int, *, quantile: float = _QUANTILE, darker: float = 1.0) -> Float:
        """[h, w] colour distance between frame t and the same place of the scene at other times (low quantile).

        Near zero where the frame shows what it shows at most other times, large on what has come and gone.
        `darker` weighs being darker than the scene: a cast shadow only darkens.
        """
        here = self._clip.small(t)
        height, width = here.shape[:2]
        shrink = np.diag([width / self._clip.width, height / self._clip.height, 1.0])
        distances = []
        for dt in _TIMES:
            if 0 <= t + dt < self._clip.length:
                view = shrink @ self.between(t + dt, t) @ np.linalg.inv(shrink)
                distances.append(_distance(here, self._clip.small(t + dt), view, darker))
        if not distances:
            return np.zeros((self._clip.height, self._clip.width), np.float32)
        ordered = np.sort(np.array(distances), 0)
        seen = np.isfinite(ordered).sum(0)
        pick = np.clip(np.rint((seen - 1) * quantile), 0, None).astype(int)
        low = np.take_along_axis(ordered, pick[None], 0)[0]
        low[~np.isfinite(low)] = 0
        return np.asarray(cv2.resize(low, (self._clip.width, self._clip.height)), np.float32)


def _distance(here: Byte, other: Byte, view: Matrix, darker: float) -> Float:
    """[h, w] Lab distance of `here` to `other` seen through `view`, forgiving one pixel; inf where `other` ends."""
    size = here.shape[1::-1]
    seen = np.asarray(cv2.warpPerspective(other, view, size), np.uint8)
    valid = np.asarray(cv2.warpPerspective(np.full(here.shape[:2], 255, np.uint8), view, size))
    kernel = np.ones((3, 3), np.uint8)
    above = cv2.subtract(here, np.asarray(cv2.dilate(seen, kernel)))
    below = cv2.subtract(np.asarray(cv2.erode(seen, kernel)), here)
    gap = np.maximum(above, below).astype(np.float32)
    gap[..., 0] = np.maximum(above[..., 0], below[..., 0] * darker)
    distance = np.sqrt((gap * gap).sum(-1)) / 2
    distance[valid < 255] = np.inf
    return distance.astype(np.float32)
