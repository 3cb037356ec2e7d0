"""Detail transfer: bring the input's own pixels back into the layers and the background (paper App. D).

The paper copies the input where a layer's composited opacity reaches 1, and into the background where nothing covers
it. Both are done here, on alphas already rounded to the deliverables' codes, so that what is measured is what is
written. Two things are added. In soft regions, where neither copy applies, the remaining difference to the input goes
to the layer that contributes most there, or to the background where it is nearly bare; both fade in, so no seam
shows. And the object masks guard the copies: a pixel where another object is what one sees is never copied, so no
occluder's colour gets into the layer behind it, and no object's into the background. Objects without a layer are
neither composited nor measured, and what looks like their effects is not copied into the background either.
Must not know: files, time, or where layers come from.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.compositing import transmissions
from services.finish.sources import Floats, Frame, Integers, Layer

OPAQUE = 0.98
"""An alpha from here on is 1, and a layer that contributes as much takes the input's pixel."""
CLEAR = 2.0 / 255.0
"""An alpha below is 0."""
BARE = 0.9
"""Transmission to the background from which on it begins to take the remaining difference; all of it at 1."""
FAINT = (0.04, 0.12)
"""A layer's contribution at which it begins to take the remaining difference, and at which it takes all."""
EFFECT = 8.0 / 255.0
"""Difference between input and background that counts as the effect of an object without a layer."""
BAND = 192
"""Rows that are finished at once."""
HALO = 8
"""Rows around them that have a say: masks are widened, and changes looked for, over a few pixels."""
GUARD = 3
"""Side in pixels of the square by which another object's mask is widened: masks end a pixel early as often as not."""


@dataclass(frozen=True)
class Finished:
    """One frame, ready to be written.

    Attributes:
        background: [H, W, 3], the input's integer type.
        layers: RGBA [H, W, 4] straight, same type, one per composited object, in job order; colour 0 where alpha is 0.
        square_error: mean squared error of the layers' composition against the input, in codes, outside the masks of
        objects without a layer.
    """

    background: Integers
    layers: tuple[Integers, ...]
    square_error: float


def finish_frame(frame: Frame, order: Sequence[int], *, objects: Sequence[int], peak: int) -> Finished:
    """Transfer detail, round, and measure. Band by band: a large frame's intermediate results would take gigabytes.

    order: positions in `frame.layers`, front to back. objects: for each layer, its object's channel in `frame.masks`.
    peak: 255 or 65535.
    """
    without = [n for n in range(frame.masks.shape[-1]) if n not in objects]
    spoilt = bool(frame.masks[..., without].any())
    height = frame.image.shape[0]
    bands = [range(top, min(height, top + BAND)) for top in range(0, height, BAND)]
    done = [_finished(frame, rows, order, objects=objects, peak=peak, spoilt=spoilt) for rows in bands]
    background = np.concatenate([band.background for band in done])
    layers = tuple(np.concatenate([band.layers[i] for band in done]) for i in range(len(frame.layers)))
    counted = sum(band.counted for band in done)
    error = sum(band.square_errors for band in done) / counted if counted else 0.0
    return Finished(background, layers, error)


@dataclass(frozen=True)
class _Band:
    """Some rows, as `Finished` has them; the sum of their squared errors, and of how many values it is."""

    background: Integers
    layers: tuple[Integers, ...]
    square_errors: float
    counted: int


def _finished(
    frame: Frame, rows: range, order: Sequence[int], *, objects: Sequence[int], peak: int, spoilt: bool
) -> _Band:
    """The rows `rows`. spoilt: whether an object without a layer is anywhere in the frame."""
    top = max(0, rows.start - HALO)
    part = _rows(frame, slice(top, rows.stop + HALO))
    inner = slice(rows.start - top, rows.stop - top)
    image = part.image.astype(np.float32) / np.float32(peak)
    alphas = [snap(layer.alpha, peak=peak) for layer in part.layers]
    colors = [layer.rgb for layer in part.layers]
    widened = [_widen(part.masks[..., n]) for n in range(part.masks.shape[-1])]
    anyone = _union(widened, like=image[..., 0])

    passing = transmissions([alphas[i] for i in order])
    share = {i: passing[rank] * alphas[i] for rank, i in enumerate(order)}  # contribution to the picture
    bare = passing[-1] if order else np.ones((*image.shape[:2], 1), dtype=np.float32)

    seen = [_seen(alpha) for alpha in alphas]
    rest = image - bare * part.background
    for i in order:
        rest[seen[i]] -= share[i][seen[i]] * colors[i][seen[i]]
    left_out = _union([w for n, w in enumerate(widened) if n not in objects], like=anyone)
    if spoilt:
        anyone |= _changed(image, part.background)
    background, rest = _to_background(part.background, rest, bare=bare, guarded=anyone)
    taking = {i: share[i] * _may_take(i, widened, part.masks, objects) for i in order}
    most = functools.reduce(np.maximum, taking.values()) if taking else bare
    layers: list[Integers] = [np.empty(0, dtype=np.uint8)] * len(order)
    for i in order:
        box = seen[i]  # A layer is empty nearly everywhere.
        allowed = (taking[i][box] >= most[box]) & (taking[i][box] > 0)
        color = _to_layer(colors[i][box], rest[box], image[box], share=share[i][box], allowed=allowed)
        layer = np.zeros((*image.shape[:2], 4), part.image.dtype)
        layer[box] = _rgba(color, alphas[i][box], peak=peak)
        layers[i] = layer[inner]

    codes = np.rint(background * peak).astype(part.image.dtype)
    untouched = (bare == 1.0) & ~anyone[..., None]
    np.copyto(codes, part.image, where=untouched)
    finished = Finished(codes[inner], tuple(layers), 0.0)
    error = recompose(finished, order, peak=peak).astype(np.float32) - part.image[inner].astype(np.float32)
    counted = error[~left_out[inner]] if left_out.any() else error
    return _Band(finished.background, finished.layers, float(np.sum(counted**2, dtype=np.float64)), counted.size)


def _rows(frame: Frame, rows: slice) -> Frame:
    """Rows of everything; views."""
    return replace(
        frame,
        image=frame.image[rows],
        background=frame.background[rows],
        layers=tuple(Layer(layer.rgb[rows], layer.alpha[rows]) for layer in frame.layers),
        masks=np.ascontiguousarray(frame.masks[rows]),
    )


def snap(alpha: Floats, *, peak: int) -> Floats:
    """`alpha` as it will be stored: whole codes of 0..peak; below CLEAR 0, from OPAQUE on 1."""
    codes = np.rint(alpha * np.float32(peak)) / np.float32(peak)
    codes[alpha < CLEAR] = 0.0
    codes[alpha >= OPAQUE] = 1.0
    return codes


def recompose(finished: Finished, order: Sequence[int], *, peak: int) -> Integers:
    """The picture that the written layers make, rounded to the clip's integers: [H, W, 3]."""
    picture = finished.background.astype(np.float32)
    for i in reversed(order):
        box = _seen(finished.layers[i][..., 3:])
        layer, under = finished.layers[i][box].astype(np.float32), picture[box]
        under += (layer[..., 3:] / np.float32(peak)) * (layer[..., :3] - under)
    codes: Integers = np.rint(picture).astype(finished.background.dtype)
    return codes


def _seen(alpha: NDArray[Any]) -> tuple[slice, slice]:
    """Rows and columns of the box around everything of `alpha` [H, W, 1] that is not 0."""
    x, y, width, height = cv2.boundingRect((alpha[..., 0] > 0).astype(np.uint8))
    return slice(y, y + height), slice(x, x + width)


def _may_take(i: int, widened: list[NDArray[np.bool_]], masks: NDArray[np.bool_], objects: Sequence[int]) -> Floats:
    """Where layer `i` may take the input's pixel, [H, W, 1] float32 0 or 1: wherever no other object is what one
    sees."""
    hidden = _union([w for n, w in enumerate(widened) if n != objects[i]], like=masks[..., 0])
    free = ~hidden | masks[..., objects[i]]
    return free[..., None].astype(np.float32)


def _to_background(
    background: Floats, rest: Floats, *, bare: Floats, guarded: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """The background with its part of the difference, and the difference that is left."""
    take = _ramp(bare, BARE, 1.0)
    take[guarded] = 0.0
    better = np.clip(background + take * rest / np.maximum(bare, np.float32(BARE)), 0.0, 1.0)
    return better, rest - bare * (better - background)


def _to_layer(color: Floats, rest: Floats, image: Floats, *, share: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """A layer's colour with the input's pixel where it is opaque, and the difference where it is soft."""
    take = _ramp(share, *FAINT) * allowed
    better: Floats = np.clip(color + take * rest / np.maximum(share, np.float32(FAINT[0])), 0.0, 1.0)
    opaque = ((share >= OPAQUE) & allowed)[..., 0]
    better[opaque] = image[opaque]
    return better


def _rgba(color: Floats, alpha: Floats, *, peak: int) -> Integers:
    codes = np.rint(np.concatenate([color, alpha], axis=-1) * np.float32(peak))
    codes[alpha[..., 0] == 0.0] = 0.0
    rgba: Integers = codes.astype(np.uint8 if peak == 255 else np.uint16)
    return rgba


def _ramp(values: Floats, low: float, high: float) -> Floats:
    """0 at `low`, 1 at `high`, smooth between."""
    t = np.clip((values - np.float32(low)) / np.float32(high - low), 0.0, 1.0)
    smooth: Floats = t * t * (3 - 2 * t)
    return smooth


def _widen(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((GUARD, GUARD), dtype=np.uint8))
    return np.asarray(wide) > 0


def _changed(image: Floats, background: Floats) -> NDArray[np.bool_]:
    """Where `image` and `background` differ over some pixels, not just in texture: [H, W]."""
    difference = np.abs(cv2.blur(image - background, (9, 9))).max(axis=-1)
    return np.asarray(difference > EFFECT)


def _union(masks: list[NDArray[np.bool_]], *, like: NDArray[Any]) -> NDArray[np.bool_]:
    """Where any of `masks` is set; `like` gives the shape."""
    union = np.zeros(like.shape, dtype=bool)
    for mask in masks:
        union |= mask
    return union
