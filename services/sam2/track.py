"""What the tracker knows about one object, and how that changes with every new mask.

Besides the last mask it is: how the object moves against the camera, what it and its surroundings looked like first,
lately and in between, and, while another object hides part of it, where the hidden part should be by now.
This module must not know how a mask is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from services.sam2.appearance import Mask, Samples, take, together
from services.sam2.camera import warp
from services.sam2.frames import Float

FAR = 60.0  # signed distances saturate here, in pixels
# Samples are drawn this close to the outline (pixels): elsewhere the outline's neighbours say little.
_NEIGHBOURHOOD = 14
# Below this share of its area an object that touches another one counts as hidden, above the second it is back.
_HIDDEN, _BACK = 0.85, 0.95
_FEW = 20


@dataclass(frozen=True)
class Memory:
    """Samples of an object and of what is around it, from one frame."""

    inside: Samples
    outside: Samples


@dataclass
class Track:
    """State of one object at the latest frame of a sweep; all maps are [h, w] at working size."""

    mask: Mask
    distance: Float  # signed distance to the outline, positive inside, within +-FAR
    hidden: Float  # belief 0..1 that the object is here if nothing hides it; zero unless `occluded`
    occluded: bool
    velocity: Float  # [2] pixels per frame against the camera
    area: float  # of the whole object, recently
    centre: Float  # [2] of the whole object
    template: Float  # the last whole mask, and where its centre was
    template_centre: Float
    first: list[Memory] = field(default_factory=list)  # one for every prompted frame
    kept: list[Memory] = field(default_factory=list)
    recent: Memory | None = None


def start_track(mask: Mask, *, extent: Mask | None) -> Track:
    """A track at a prompted frame. `extent` is the whole object where other objects hide most of it, or None."""
    hidden = np.zeros(mask.shape, np.float32) if extent is None else (extent & ~mask).astype(np.float32)
    whole = np.maximum(hidden, mask)
    centre = _centroid(whole)
    area = max(float(mask.sum()), 0.5 * float(whole.sum()))
    no_motion = np.zeros(2, np.float32)
    return Track(
        mask, signed_distance(mask), hidden, extent is not None, no_motion, area, centre, whole, centre.copy()
    )  # fmt: skip


def signed_distance(mask: Mask) -> Float:
    """[h, w] pixels to the outline, positive inside, saturated at FAR."""
    if not mask.any():
        return np.full(mask.shape, -FAR, np.float32)
    inside = np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3))
    outside = np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3))
    return np.clip(np.where(mask, inside - 0.5, 0.5 - outside), -FAR, FAR).astype(np.float32)


def move(track: Track, *, flow: Float, reliable: Mask, camera: Float) -> None:
    """Advance centre, velocity and hidden part by one frame.

    Args:
        track: changed in place.
        flow: [h, w, 2] from the track's frame to the new one.
        reliable: [h, w] where that flow can be trusted.
        camera: [2] the camera's displacement at the object.
    """
    seen = track.mask & reliable
    step = camera + track.velocity
    if not track.occluded and seen.sum() > _FEW:
        step = np.median(flow[seen], 0)
        track.velocity = (0.6 * track.velocity + 0.4 * (step - camera)).astype(np.float32)
    elif seen.sum() > max(3 * _FEW, 0.3 * track.area):
        step = 0.5 * step + 0.5 * np.median(flow[seen], 0)
    else:
        track.velocity = track.velocity * np.float32(0.98)
    track.centre = (track.centre + step).astype(np.float32)
    if track.occluded:
        track.hidden = _shift(track.hidden, step)


def settle(track: Track, mask: Mask, *, others: Mask, refused: Mask) -> None:
    """Take `mask` as the object's mask on the new frame, and tell whether something hides the rest.

    Args:
        track: changed in place.
        mask: [h, w].
        others: [h, w] pixels of all other objects.
        refused: [h, w] pixels that are certainly not the object.
    """
    seen = float(mask.sum())
    touches = bool(
        (np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))).astype(bool) & others).any()
    )
    if track.occluded:
        free = ~others & ~mask
        hidden = np.where(free & refused, track.hidden * 0.7, np.where(free, track.hidden * 0.95, track.hidden))
        hidden[mask] = 1
        track.hidden = np.where(hidden < 0.1, 0, hidden).astype(np.float32)
        if seen > _BACK * track.area or (seen > 0.3 * track.area and not touches):
            track.occluded, track.area = False, seen
            track.hidden = np.zeros_like(track.hidden)
    elif seen < _HIDDEN * track.area and (touches or seen == 0):
        track.occluded = True
        expected = _shift(track.template, track.centre - track.template_centre)
        track.hidden = np.asarray(cv2.dilate(expected, np.ones((5, 5), np.uint8)), np.float32)
    if not track.occluded and seen > 0.8 * track.area:
        track.template = mask.astype(np.float32)
        track.centre = _centroid(track.template)
        track.template_centre = track.centre.copy()
    # An object that shrinks for good (walks away) is not hidden: the expectation follows slowly.
    track.area = max(track.area * (1.0 if track.occluded else 0.98), seen)
    track.mask, track.distance = mask, signed_distance(mask)


def remember(
    track: Track, features: Float, *, odds: Float | None, size: int, random: np.random.Generator
) -> Memory | None:
    """About `size` samples of the object and of its surroundings at its present mask, or None where there are too few.

    `odds` [h, w], if given, restricts them to pixels that were decided clearly.
    """
    near = np.abs(track.distance) <= _NEIGHBOURHOOD
    inside, outside = track.distance > 1, (track.distance < -1) & near
    if track.occluded:
        around = cv2.dilate((track.hidden > 0.3).astype(np.uint8), np.ones((15, 15), np.uint8))
        outside |= (track.distance < -1) & (np.asarray(around) > 0)
    if odds is not None:
        inside, outside = inside & (odds > 0.7), outside & (odds < -0.7)
    if inside.sum() < 0.2 * track.mask.sum():
        inside = track.mask
    if inside.sum() < 4 or outside.sum() < _FEW:
        return None

    def some(where: Mask, n: int) -> Samples:
        return take(features, where, n, centre=track.centre, random=random)

    body = [some(inside & near, size), some(inside & ~near, size // 4)]
    return Memory(together(body), some(outside, size * 6 // 5))


def warped_mask(track: Track, flow: Float) -> Float:
    """[h, w] the signed distance as it arrives through `flow` (from the new frame back)."""
    return warp(track.distance + FAR, flow) - FAR


def _shift(image: Float, by: Float) -> Float:
    matrix = np.array([[1, 0, by[0]], [0, 1, by[1]]], np.float32)
    return np.asarray(cv2.warpAffine(image, matrix, image.shape[1::-1]), np.float32)


def _centroid(weight: Float) -> Float:
    rows, columns = np.nonzero(weight > 0.2)
    if len(rows) == 0:
        return (np.array(weight.shape[::-1]) / 2).astype(np.float32)
    return np.array([columns.mean(), rows.mean()]).astype(np.float32)
