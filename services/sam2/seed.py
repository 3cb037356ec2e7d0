"""From a box or points on one frame to the mask of the object there.

A tight box says three things: nothing outside it is the object, colours that fill the strips around it are probably not
the object either, and the object touches all four sides. The first two make a colour model that is refined in turns
with a minimum cut; the third picks, among several starts from cautious to greedy, the most cautious one that fills the
box. Where something moves or has changed against the scene, that counts too. This module must not know about other
frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.sam2.cut import edge_guide, minimum_cut
from services.sam2.frames import LAB_WEIGHTS, Byte, Float

_COLOURS = 40
_TURNS = 6
# Extra log-odds for the object in the successive starts: cautious first.
_GREED = (-0.8, -0.4, 0.0, 0.4, 0.8, 1.2)
_FILLS_BOX = 0.93
_NEVER = -50.0
Mask = NDArray[np.bool_]
PixelBox = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """One frame as the seed sees it; [h, w] maps of what stands out against the scene (`services.sam2.camera`)."""

    lab: Float
    change: Float  # in colour, from nearly all other times
    usual: Float  # in colour, from half of the other times
    motion: Float  # in motion


@dataclass(frozen=True)
class Hint:
    """All prompts of one object on one frame, in working pixels (x, y)."""

    box: PixelBox | None
    on: tuple[tuple[int, int], ...] = ()
    off: tuple[tuple[int, int], ...] = ()


def seed_mask(view: View, hint: Hint, *, taken: Mask, known: Mask | None = None) -> Mask:
    """The object's mask on the frame.

    Args:
        view: the frame.
        hint: its prompts.
        taken: [h, w] pixels of objects that were found before on this frame.
        known: [h, w] what tracking believes the object is here; points then correct it.

    Returns:
        [h, w] bool; never empty.
    """
    region = _Region.around(view, hint, taken, known)
    best, best_fit = np.zeros(taken.shape, np.bool_), -1.0
    for greed in _GREED if hint.box is not None else (0.0,):
        mask = region.solve(greed)
        fit = _overlap(bounds(mask), hint.box) if hint.box is not None and mask.any() else float(mask.any())
        if fit > best_fit + 0.02:
            best, best_fit = mask, fit
        if fit >= _FILLS_BOX:
            break
    return best if best.any() else _fallback(hint, taken)


def bounds(mask: Mask) -> PixelBox:
    """(x0, y0, x1, y1) of the non-empty `mask`, x1 and y1 exclusive."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _overlap(a: PixelBox, b: PixelBox) -> float:
    wide = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    area = [(r[2] - r[0]) * (r[3] - r[1]) for r in (a, b)]
    return wide * high / (sum(area) - wide * high)


def _fallback(hint: Hint, taken: Mask) -> Mask:
    """Where nothing could be told apart: the box, or a spot on each point; less what is taken, if that leaves
    anything."""
    mask = np.zeros(taken.shape, np.bool_)
    if hint.box is not None:
        x0, y0, x1, y1 = hint.box
        mask[y0:y1, x0:x1] = True
    else:
        mask = _spots(hint.on, taken.shape, max(1, max(taken.shape) // 60))
    return mask & ~taken if (mask & ~taken).any() else mask


def _spots(points: tuple[tuple[int, int], ...], shape: tuple[int, ...], radius: int) -> Mask:
    canvas = np.zeros(shape, np.uint8)
    for point in points:
        cv2.circle(canvas, point, radius, 1, -1)
    return canvas > 0


@dataclass(frozen=True)
class _Region:
    """The part of the frame that a seed looks at, with everything that does not change between starts."""

    shape: tuple[int, int]
    window: tuple[slice, slice]
    guide: Byte
    words: Float  # [k, h, w] how much a pixel belongs to each of k colours
    allowed: Mask  # where the object may be
    free: Mask  # not another object's
    sure: Mask  # points on the object
    start: Float  # first guess, 0..1
    evidence: Float  # log-odds from motion, change and points
    surroundings: Float  # how frequent each pixel's colour is just outside the nearer sides of the box
    boxed: bool  # whether there is a box
    reach: int  # size of the neighbourhood whose background is compared with, in pixels

    @classmethod
    def around(cls, view: View, hint: Hint, taken: Mask, known: Mask | None) -> _Region:
        height, width = taken.shape
        radius = max(2, max(height, width) // 80)
        on, off = _spots(hint.on, taken.shape, radius), _spots(hint.off, taken.shape, radius)
        taken = taken & ~on
        box, reach = _extent(hint, on if known is None else on | known, taken.shape)
        x0, y0, x1, y1 = reach
        window = (slice(y0, y1), slice(x0, x1))
        inside = np.zeros(taken.shape, np.bool_)
        inside[box[1] : box[3], box[0] : box[2]] = True
        taken = taken | _moving_with(taken, view.motion, inside)
        words = _colour_words(view.lab[window])
        allowed = (inside & ~taken & ~off)[window]
        free = ~taken[window]
        ring = ~inside[window] & free
        evidence = _stands_out(view.change[window], allowed, ring, offset=1.0, low=-1.5, high=4.0)
        # Flow smears motion over what is around; only what usually looks different there may gain from it.
        differs = _stands_out(view.usual[window], allowed, ring, offset=1.0, low=-1.0, high=1.0)
        moves = _stands_out(view.motion[window], allowed, ring, offset=0.2, low=-2.5, high=2.0)
        evidence += np.where(differs > -0.6, moves, np.minimum(moves, 0))
        surroundings = np.zeros(allowed.shape, np.float32)
        if hint.box is not None:
            start = allowed / (1 + np.exp(-2 * evidence))
            local = (box[0] - x0, box[1] - y0, box[2] - x0, box[3] - y0)
            surroundings = _surroundings(words, free, local)
        else:
            # Points say nothing about the extent: likely near them, less and less likely further away.
            distance = cv2.distanceTransform((~(on if known is None else on | known)).astype(np.uint8), cv2.DIST_L2, 3)
            evidence += np.clip(1.0 - 10.0 * np.asarray(distance)[window] / max(height, width), -4, 1)
            start = (on if known is None else on | known)[window].astype(np.float32)
        evidence += 6.0 * on[window] - 12.0 * off[window]
        return cls(
            (height, width),
            window,
            edge_guide(view.lab[window]),
            words,
            allowed,
            free,
            on[window],
            start.astype(np.float32),
            evidence.astype(np.float32),
            surroundings,
            hint.box is not None,
            max(15, max(box[2] - box[0], box[3] - box[1]) // 2),
        )

    def solve(self, greed: float) -> Mask:
        """Colour models and minimum cut in turns."""
        belief = self.start
        cut = np.zeros(self.allowed.shape, np.bool_)
        for turn in range(_TURNS):
            mine = np.einsum("khw,hw->k", self.words, belief) / max(float(belief.sum()), 1)
            theirs = _local_frequency(self.words, (1 - belief) * self.free, self.reach)
            strict = np.maximum(self.surroundings, theirs)
            theirs = np.asarray(strict if turn == 0 else (strict + theirs) / 2, np.float32)
            looks = np.log((_frequency(self.words, mine) + 1e-3) / (theirs + 1e-3)) + greed * self.boxed
            odds = (np.clip(looks, -3, 3) + self.evidence * (1.0 if turn < 2 else 0.7)).astype(np.float32)
            odds[~self.allowed] = _NEVER
            cut = minimum_cut(odds, self.guide, smoothness=3.0)
            if not self.boxed:
                cut = _connected_to(cut, self.sure)
            soft = 1 / (1 + np.exp(-np.clip(odds, -9, 9)))
            belief = ((0.85 * cut + 0.15 * soft) * self.allowed).astype(np.float32)
        mask = np.zeros(self.shape, np.bool_)
        mask[self.window] = cut
        return mask


def _extent(hint: Hint, near: Mask, shape: tuple[int, ...]) -> tuple[PixelBox, PixelBox]:
    """Where the object may be, and the larger window that also shows what surrounds it."""
    if hint.box is not None:
        box, pad = hint.box, max(12, max(hint.box[2] - hint.box[0], hint.box[3] - hint.box[1]) // 2)
    else:
        reach = int(0.3 * max(shape))
        x0, y0, x1, y1 = bounds(near)
        box = (max(0, x0 - reach), max(0, y0 - reach), min(shape[1], x1 + reach), min(shape[0], y1 + reach))
        pad = max(12, reach // 3)
    window = (max(0, box[0] - pad), max(0, box[1] - pad), min(shape[1], box[2] + pad), min(shape[0], box[3] + pad))
    return box, window


def _colour_words(lab: Float) -> Float:
    """[k, h, w] soft assignment of every pixel to the k-means colours of the window."""
    points = (np.asarray(cv2.GaussianBlur(lab, (0, 0), 0.8)) * LAB_WEIGHTS).reshape(-1, 3).astype(np.float32)
    random = np.random.default_rng(0)
    sample = points[random.choice(len(points), min(len(points), 6000), replace=False)]
    count = min(_COLOURS, len(sample))
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 15, 0.1)
    _, _, centres = cv2.kmeans(sample, count, None, criteria, 1, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    distance = (points**2).sum(1)[None] + (centres**2).sum(1)[:, None] - 2 * centres @ points.T
    weight = np.exp(-(distance - distance.min(0)) / (2 * 4.0**2))
    weight /= weight.sum(0)
    return weight.reshape(count, *lab.shape[:2]).astype(np.float32)


def _surroundings(words: Float, free: Mask, box: PixelBox) -> Float:
    """[h, w] how frequent each colour is in the strips along the sides of `box`, less for sides further away."""
    x0, y0, x1, y1 = box
    thick = max(6, int(0.15 * max(x1 - x0, y1 - y0)))
    y, x = np.mgrid[0 : free.shape[0], 0 : free.shape[1]].astype(np.float32)
    sides = (
        (np.s_[max(0, y0 - thick) : y0, x0:x1], y - y0),
        (np.s_[y1 : y1 + thick, x0:x1], y1 - y),
        (np.s_[y0:y1, max(0, x0 - thick) : x0], x - x0),
        (np.s_[y0:y1, x1 : x1 + thick], x1 - x),
    )
    enough = 0.25 * thick * min(x1 - x0, y1 - y0)
    fade = 0.5 * max(x1 - x0, y1 - y0)
    most = np.zeros(free.shape, np.float32)
    for strip, distance in sides:
        if free[strip].sum() >= enough:
            inside = words[:, *strip]
            frequency = np.einsum("khw,hw->k", inside, free[strip].astype(np.float32)) / free[strip].sum()
            near = np.exp(-np.maximum(distance, 0) / fade)
            most = np.maximum(most, near * _frequency(words, frequency))
    return most.astype(np.float32)


def _frequency(words: Float, frequency: NDArray[Any]) -> Float:
    """[h, w] how frequent each pixel's colour is, where colour k is as frequent as `frequency` [k] says."""
    return np.asarray(np.einsum("khw,k->hw", words, frequency.astype(np.float32)), np.float32)


def _local_frequency(words: Float, weight: Float, reach: int) -> Float:
    """[h, w] how frequent each pixel's colour is among the pixels of `weight` around it."""
    size = (weight.shape[1] // 2 + 1, weight.shape[0] // 2 + 1)
    kernel = (reach | 1, reach | 1)  # at half size: twice the reach
    total = np.asarray(cv2.blur(np.asarray(cv2.resize(weight, size)), kernel)) + 1e-3
    frequency = np.zeros(weight.shape, np.float32)
    for here in words:
        share = np.asarray(cv2.blur(np.asarray(cv2.resize(here * weight, size)), kernel)) / total
        frequency += here * np.asarray(cv2.resize(share, weight.shape[::-1]))
    return frequency


def _stands_out(measure: Float, inside: Mask, ring: Mask, *, offset: float, low: float, high: float) -> Float:
    """Log-odds from a map that is large on what moves, as far as it is larger inside than in the ring around."""
    if not inside.any() or not ring.any():
        return np.zeros(measure.shape, np.float32)
    usual = float(np.percentile(measure[ring], 75))
    gain = np.clip((np.percentile(measure[inside], 75) / (usual + offset) - 1.5) / 1.5, 0, 1)
    odds = 1.5 * np.log((measure + offset) / (1.6 * usual + offset))
    return (np.clip(odds, low, high) * gain).astype(np.float32)


def _moving_with(taken: Mask, motion: Float, inside: Mask) -> Mask:
    """[h, w] pixels of the box that move as fast as another object which covers much of it: that one's."""
    covering, other = taken & inside, inside & ~taken
    if covering.sum() < 0.4 * inside.sum() or not other.any():
        return np.zeros_like(taken)
    speed = float(np.median(motion[covering]))
    return other & (motion > 0.5 * speed) if speed > 1.0 else np.zeros_like(taken)


def _connected_to(mask: Mask, spots: Mask) -> Mask:
    _, labels = cv2.connectedComponents((mask | spots).astype(np.uint8))
    return np.isin(labels, np.unique(labels[spots]))
