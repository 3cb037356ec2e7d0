"""A first guess of the clean plate from the clip itself: what other frames saw where an object now stands.

For small networks, what was seen elsewhere in the clip is better evidence than imagination: compact Casper gets this
guess as a condition, and super-resolution takes detail from it where Casper agrees. Frames are registered at base
resolution by a chain of affine motions of the background, refined by dense optical flow (which takes up parallax), and
merged by a masked median (which drops most shadows, as they move on). `fine.py` does it again at working resolution.
Must not know: any network, or which object is to be removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Affine = NDArray[np.float64]

_MAX_CORNERS = 200
_MIN_INLIERS = 12


@dataclass(frozen=True)
class Plate:
    """rgb: [h, w, 3] uint8. seen: [h, w] float32, 0 = no other frame saw it .. 1 = all of them did."""

    rgb: Frame
    seen: NDArray[np.float32]


@dataclass(frozen=True)
class Registered:
    """One reference brought to the target's place.

    index: the reference's. rgb: [h, w, 3] uint8. valid: [h, w] bool, seen there and no object in the way.
    where: [h, w, 2] float32, the place (x, y) in the reference that each pixel shows.
    """

    index: int
    rgb: Frame
    valid: NDArray[np.bool_]
    where: NDArray[np.float32]


def camera_path(frames: Sequence[Frame] | Frame, objects: Sequence[Frame] | Frame) -> Affine:
    """Chain the background's motion: [T, 3, 3], each maps pixels of frame t to pixels of frame 0.

    frames: T x [h, w, 3] uint8. objects: T x [h, w] uint8, non-zero where any object is (ignored).
    A pair of frames that cannot be registered counts as no motion.
    """
    path = [np.eye(3)]
    before = grey(frames[0])
    for t in range(1, len(frames)):
        following = grey(frames[t])
        path.append(path[-1] @ np.linalg.inv(_motion(before, following, objects[t - 1])))
        before = following
    return np.stack(path)


def grey(frame: Frame) -> Frame:
    """[h, w] uint8."""
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def _motion(first: Frame, second: Frame, objects: Frame) -> Affine:
    """Affine motion of the background from `first` to `second`, as 3x3; the identity if there is no evidence."""
    background = np.where(cv2.dilate(objects, np.ones((7, 7), np.uint8)) > 0, 0, 255).astype(np.uint8)
    corners = cv2.goodFeaturesToTrack(first, _MAX_CORNERS, 0.005, 4, mask=background)
    if corners is None or len(corners) < _MIN_INLIERS:
        return np.eye(3)
    moved, status, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None, winSize=(15, 15), maxLevel=4)  # type: ignore[call-overload]
    good = status[:, 0] == 1
    if good.sum() < _MIN_INLIERS:
        return np.eye(3)
    affine, inliers = cv2.estimateAffine2D(corners[good], moved[good], ransacReprojThreshold=1.0)
    if affine is None or inliers.sum() < _MIN_INLIERS:
        return np.eye(3)
    return np.vstack([affine, [0, 0, 1]])


def plate(
    target: int,
    frames: Sequence[Frame] | Frame,
    objects: Sequence[Frame] | Frame,
    path: Affine,
    *,
    references: Sequence[int],
) -> Plate:
    """The plate of frame `target` out of the frames `references` (their indices; `target` itself is left out)."""
    return merged(target, frames, objects, list(registered(target, frames, objects, path, references=references)))


def merged(
    target: int, frames: Sequence[Frame] | Frame, objects: Sequence[Frame] | Frame, found: Sequence[Registered]
) -> Plate:
    """The plate of frame `target` from its registered references."""
    if not found:
        # A single frame, or nothing that registers: what surrounds the objects is all there is to go by.
        return masked_median(np.asarray(frames[target])[None], (grown(objects[target]) == 0)[None])
    return masked_median(np.stack([one.rgb for one in found]), np.stack([one.valid for one in found]))


def choose_references(target: int, total: int, *, reach: int = 48, count: int = 12) -> list[int]:
    """Frames to look at for frame `target`: evenly over +-`reach` frames, the target itself left out.

    At the ends of a clip the window shifts inwards, so that every frame gets as many references as there are.
    """
    span = min(total, 2 * reach + 1)
    first = min(max(0, target - reach), total - span)
    indices = np.unique(np.linspace(first, first + span - 1, min(count + 1, span)).round().astype(int))
    return [int(i) for i in indices if i != target]


def registered(
    target: int,
    frames: Sequence[Frame] | Frame,
    objects: Sequence[Frame] | Frame,
    path: Affine,
    *,
    references: Sequence[int],
) -> Iterator[Registered]:
    """Each of `references` that can be registered with frame `target`."""
    height, width = frames[target].shape[:2]
    flow_of = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # type: ignore[attr-defined]
    wanted = grey(frames[target])
    hidden = grown(objects[target]) > 0
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    for r in references:
        if r == target:
            continue
        matrix = (np.linalg.inv(path[target]) @ path[r])[:2]
        size = (width, height)
        warped = cv2.warpAffine(frames[r], matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        blocked = cv2.warpAffine(grown(objects[r]), matrix, size, borderMode=cv2.BORDER_CONSTANT, borderValue=255)
        usable = ~hidden & (blocked == 0)
        if usable.mean() < 0.1:
            continue
        flow = fill(flow_of.calc(wanted, grey(np.asarray(warped, np.uint8)), None), usable)
        reference = cv2.remap(
            warped, xs + flow[..., 0], ys + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
        )
        still_blocked = cv2.remap(
            blocked, xs + flow[..., 0], ys + flow[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, 255
        )
        back = np.linalg.inv(path[r]) @ path[target]
        moved = np.stack([xs + flow[..., 0], ys + flow[..., 1]], axis=-1)
        where = moved @ back[:2, :2].T.astype(np.float32) + back[:2, 2].astype(np.float32)
        yield Registered(r, np.asarray(reference, np.uint8), still_blocked < 8, np.asarray(where, np.float32))


def grown(objects: Frame) -> Frame:
    """The objects [h, w] with a margin."""
    # Masks are never exact, and an object's rim in the plate would come back as a ghost.
    return np.asarray(cv2.dilate(objects, np.ones((5, 5), np.uint8)), np.uint8)


def fill(image: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Continue what is `known` of [h, w, C] smoothly into the rest; computed at a quarter of the resolution."""
    height, width = known.shape
    small = (max(2, width // 4), max(2, height // 4))
    weight = cv2.resize(known.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    value = cv2.resize(image * known[..., None], small, interpolation=cv2.INTER_AREA)
    # Wider and wider neighbourhoods, each far weaker than the last, so that the nearest evidence rules.
    total, filled = np.array(weight, np.float32), np.array(value, np.float32)
    for sigma, trust in ((1.0, 1e-2), (3.0, 1e-4), (10.0, 1e-6), (40.0, 1e-8)):
        total = total + trust * cv2.GaussianBlur(weight, (0, 0), sigma)
        filled = filled + trust * cv2.GaussianBlur(value, (0, 0), sigma)
    smooth = cv2.resize(filled / (total[..., None] + 1e-12), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth, np.float32)


def masked_median(stack: Frame, valid: NDArray[np.bool_]) -> Plate:
    """Median over the valid frames of [K, h, w, 3]; where there is none, the surroundings continued smoothly."""
    count = valid.sum(axis=0)
    ordered = np.sort(np.where(valid[..., None], stack.astype(np.int16), 999), axis=0)
    low = np.maximum(count - 1, 0) // 2
    high = np.maximum(count, 1) // 2
    high = np.minimum(high, np.maximum(count - 1, 0))
    middle = [np.take_along_axis(ordered, i[None, ..., None], axis=0)[0] for i in (low, high)]
    known = count > 0
    median = np.where(known[..., None], (middle[0] + middle[1]) // 2, 0).astype(np.float32)
    rgb = np.where(known[..., None], median, fill(median, known))
    return Plate(np.clip(rgb, 0, 255).astype(np.uint8), (count / len(stack)).astype(np.float32))
