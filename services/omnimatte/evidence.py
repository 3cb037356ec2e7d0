"""Where the solo video differs from the background, and what that says about the layer before anything is learned.

A pixel I over background B needs at least the alpha for which some colour F in 0..1 gives I = alpha F + (1 - alpha) B.
For a shadow, whose colour is black, this least alpha is the exact answer. Generated pairs differ a little everywhere,
so the least alpha is believed only where it stands out of the clip's own noise and hangs together with the object.
Inside the mask the layer is opaque; in a band along its edge alpha follows from the colours on both sides.
Arrays are float32 in 0..1, frames [h, w, 3], maps [h, w].

Must not know: networks, artifacts, what made the pair.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omnimatte import colour

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

_ROOM = 0.1  # On pixels nearly black or white a difference says little; less room than this counts as this much.
_LAYER = 0.05  # Less alpha than this may be the pair's noise, and is not raised to explain it.
_QUIET = 0.01  # Less least alpha than this is never an effect: about two steps of an 8-bit video.


def least_alpha(solo: Array, background: Array, own: Array, *, blur: float) -> Array:
    """The smallest alpha that lets some colour explain the difference, as it is around the object's mask `own`.

    The difference is blurred first (standard deviation `blur`, in pixels): the largest channel of a noisy difference
    would be a biased answer. The object itself stays out of the blur, so that what is found along its edge is the
    effect beside it and not the object's own smear.
    """
    weight = 1 - cv2.dilate(own, _disc(1))
    weighed = cv2.GaussianBlur((solo - background) * weight[..., None], (0, 0), blur)
    difference = weighed / np.maximum(cv2.GaussianBlur(weight, (0, 0), blur), 1e-3)[..., None]
    return _needed(difference, background)


def enough(alpha: Array, solo: Array, background: Array) -> Array:
    """`alpha`, raised where a layer is to what some colour needs to explain the very pixel: then none of it is left."""
    least = _needed(solo - background, background)
    return np.asarray(np.where(alpha > _LAYER, np.maximum(alpha, least), alpha), np.float32)


def away(own: Array, others: Array) -> Flags:
    """Where nothing should differ: far from every object's mask, or as far as a crowded frame allows."""
    objects = (own > 0.5) | (others > 0.5)
    result = ~grown(objects, max(own.shape) // 8)
    wide: Flags = result if result.mean() > 0.05 else ~grown(objects, 3)
    return wide


def matched(solo: Array, background: Array, where: Flags) -> Array:
    """`background` shifted by the colour offset that it has against `solo` in the pixels `where`: generated videos of
    one scene may differ a little in exposure, and that is no effect of the object."""
    if not where.any():
        return background
    offset = np.median((solo - background)[where][::7], axis=0)
    return np.asarray(np.clip(background + np.clip(offset, -0.05, 0.05), 0, 1), np.float32)


def noise_floor(samples: Array) -> float:
    """One standard deviation of least alpha where nothing should differ.

    The upper tail counts, since a generator leaves most of a frame untouched and errs in patches; the median bounds it,
    so that a far-reaching shadow is not taken for noise.
    """
    if not samples.size:
        return 0.0
    middle, tail = (float(q) for q in np.quantile(samples, [0.5, 0.9]))
    return min(tail / 1.645, max(_QUIET, 3 * middle / 0.6745))


def effects(least: Array, own: Array, others: Array, *, noise: float) -> Flags:
    """The pixels whose difference is the object or an effect of it.

    Hysteresis: a region of weak evidence counts if it holds strong evidence and touches the object, or is strong nearly
    all over and near. What is far away, or under another object's mask (where two generated videos need not agree), has
    to be stronger.
    """
    object_ = own > 0.5
    if not object_.any():
        return np.zeros(least.shape, dtype=bool)
    pixels = cv2.distanceTransform((~object_).astype(np.uint8), cv2.DIST_L2, 3)
    distance = pixels / (0.25 * np.hypot(*least.shape))
    doubt = 1 + distance + 2 * grown(others > 0.5, 2)
    weak = (least > doubt * max(2.5 * noise, _QUIET)).astype(np.uint8)
    strong = least > doubt * max(5 * noise, 4 * _QUIET)
    # Specks narrower than two pixels go. The anchors are opposite: with an even kernel the rest would move otherwise.
    square = np.ones((2, 2), np.uint8)
    weak = cv2.dilate(cv2.erode(weak, square, anchor=(0, 0)), square, anchor=(1, 1))
    count, labels = cv2.connectedComponents(weak | object_.astype(np.uint8), connectivity=8)

    def total(what: Flags) -> NDArray[np.floating]:
        return np.asarray(np.bincount(labels.ravel(), weights=what.ravel(), minlength=count))

    area = np.bincount(labels.ravel(), minlength=count)
    believed = (total(strong) > 0) & (total(grown(object_, 2)) > 0)
    believed |= (area > 3e-4 * least.size) & (total(strong & (distance < 1)) > 0.5 * area)
    believed[0] = False
    result: Flags = believed[labels]
    return result


def steady(regions: Flags) -> Flags:
    """`regions` [T, h, w] with what the frames before and after agree on: near the threshold, evidence flickers."""
    result = regions.copy()
    result[1:-1] |= regions[:-2] & regions[2:]
    return result


def guess(solo: Array, background: Array, own: Array, effect: Array, *, edge: float) -> tuple[Array, Array]:
    """A first alpha [h, w] and expected colour [h, w, 3] of the layer.

    Args:
        solo: the frame with the object.
        background: the frame without it.
        own: coverage of the object's mask.
        effect: alpha where it is no part of the object; a lower bound along its edge.
        edge: half width, in pixels, of the band along the mask's edge in which the mask is not trusted.
    """
    inside = eroded(own, edge)
    band = grown(own > 0.02, edge)
    matted = _matted(solo, background, colour.spread(solo, inside), own)
    alpha = np.maximum(np.where(band, matted, 0), effect)
    alpha = np.where(inside > 0.99, 1, alpha).astype(np.float32)
    return alpha, colour.expected(solo, background, alpha, inside)


def edge_band(alpha: Array, *, radius: float) -> Flags:
    """Where `alpha` changes steeply: an enlarged alpha map is aliased there (paper, appendix D)."""
    kernel = _disc(radius)
    steep: Flags = (cv2.dilate(alpha, kernel) - cv2.erode(alpha, kernel)) > 0.25
    return steep


def grown(region: Flags, radius: float) -> Flags:
    """`region` and all pixels within about `radius` of it."""
    # The distance costs the same for any radius; a dilation costs its square.
    distance = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)
    wide: Flags = distance < max(1, round(radius)) + 0.5
    return wide


def eroded(mask: Array, radius: float) -> Array:
    """`mask` shrunk by `radius`; one that is too thin for that stays as it is."""
    small = cv2.erode(mask, _disc(radius))
    return np.asarray(small if small.max() > 0.5 else mask, np.float32)


def _needed(difference: NDArray[np.floating], background: Array) -> Array:
    room = np.where(difference > 0, 1 - background, background)
    needed = np.abs(difference) / np.maximum(room, _ROOM)
    # Channel by channel: a reduction over an axis of three is several times slower.
    most = np.maximum(np.maximum(needed[..., 0], needed[..., 1]), needed[..., 2])
    return np.asarray(np.minimum(most, 1), np.float32)


def _matted(solo: Array, background: Array, foreground: Array, own: Array) -> Array:
    # The pixel's place on the line from background to foreground colour; where they look alike, the mask's word counts.
    direction = foreground - background
    along = np.einsum("hwc,hwc->hw", solo - background, direction)
    length = np.einsum("hwc,hwc->hw", direction, direction)
    matted: Array = np.clip((along + 0.02 * own) / (length + 0.02), 0, 1)
    return matted


def _disc(radius: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
