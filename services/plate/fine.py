"""The plate at working resolution: references warped by the base resolution's registration, refined by a short flow.

Registration is found where it is cheap and robust, at base resolution; what is left at working resolution is a pixel or
two. Fewer references than at base are enough, as each costs twenty times as much.
Must not know: artifacts, or how a clip is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from services.plate.plate import Frame, Plate, Registered, fill, grey, grown, masked_median

Floats = NDArray[np.float32]
Read = Callable[[int], Frame]
"""Frame [H, W, 3] uint8 at working resolution, by index."""

REFERENCES = 5
_MARGIN = 0.03
"""Of the width: how far the missing motion of an object spoils the flow beside it."""
_LARGEST_REFINEMENT = 4.0
"""Pixels. More than this is no refinement but another match."""


def fine_plate(target: int, read: Read, objects: Frame, found: Sequence[Registered]) -> Plate:
    """The plate of frame `target` at the size of `read`'s frames.

    objects: [h, w] uint8, non-zero where any object is. found: the references at base resolution.
    """
    frame = read(target)
    size = (frame.shape[1], frame.shape[0])
    hidden = cv2.resize(grown(objects), size, interpolation=cv2.INTER_LINEAR) > 0
    chosen = choose(found, grown(objects) > 0, count=REFERENCES)
    if not chosen:
        return masked_median(frame[None], ~hidden[None])
    wanted = grey(frame)
    parts = [_warped(one, read(one.index), wanted, hidden) for one in chosen]
    return masked_median(np.stack([rgb for rgb, _ in parts]), np.stack([valid for _, valid in parts]))


def choose(found: Sequence[Registered], hidden: NDArray[np.bool_], *, count: int) -> list[Registered]:
    """At most `count` of the references: each time the one that shows most of what was seen least, first where
    `hidden` [h, w]."""
    seen = np.zeros(hidden.shape, np.float32)
    weight = np.where(hidden, 1.0, 0.05).astype(np.float32)
    left = list(found)
    chosen: list[Registered] = []
    while left and len(chosen) < count:
        gain = weight / (1 + seen) ** 2
        best = max(range(len(left)), key=lambda i: float(gain[left[i].valid].sum()))
        chosen.append(left.pop(best))
        seen += chosen[-1].valid
    return chosen


def _warped(
    one: Registered, source: Frame, wanted: Frame, hidden: NDArray[np.bool_]
) -> tuple[Frame, NDArray[np.bool_]]:
    """Reference `one` as the target would show it: [H, W, 3] uint8, and where that is valid."""
    height, width = wanted.shape
    open_there = cv2.resize((~hidden).astype(np.uint8), one.valid.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    move = continued(one.where - _grid(*one.valid.shape), one.valid & open_there)
    where = _enlarged(move, height, width)
    valid = cv2.resize(one.valid.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR) > 0.9
    first = cv2.remap(source, where[..., 0], where[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE)
    flow_of = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # type: ignore[attr-defined]
    flow = flow_of.calc(wanted, grey(np.asarray(first, np.uint8)), None)
    flow = np.clip(flow, -_LARGEST_REFINEMENT, _LARGEST_REFINEMENT)
    # The camera turns and zooms little between references: the refinement needs no rotation of its own.
    # It is smooth, so half the resolution will do to continue it.
    rough = continued(np.asarray(flow[::2, ::2], np.float32), (valid & ~hidden)[::2, ::2])
    refined = where + cv2.resize(rough, (width, height), interpolation=cv2.INTER_LINEAR)
    rgb = cv2.remap(source, refined[..., 0], refined[..., 1], cv2.INTER_CUBIC, None, cv2.BORDER_REPLICATE)
    return np.asarray(rgb, np.uint8), np.asarray(valid)


def continued(flow: Floats, known: NDArray[np.bool_]) -> Floats:
    """`flow` [h, w, 2], smoothed, with what is not `known` [h, w] continued from its surroundings.

    One affine motion fits most backgrounds; what departs from it (parallax) is continued from the nearest evidence.
    """
    margin = max(3, round(_MARGIN * known.shape[1]))
    trusted = cv2.erode(known.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)) > 0
    if trusted.mean() < 0.05:
        trusted = known
    smooth = _affine_fit(flow, trusted)
    return smooth + fill(np.asarray(flow - smooth, np.float32), trusted)


def _affine_fit(flow: Floats, known: NDArray[np.bool_]) -> Floats:
    """The affine motion [h, w, 2] closest to `flow` where `known`; the worst third is left out, twice."""
    height, width = known.shape
    xs, ys = np.meshgrid(np.linspace(-1, 1, width, dtype=np.float32), np.linspace(-1, 1, height, dtype=np.float32))
    terms = np.stack([np.ones_like(xs), xs, ys], axis=-1)
    rows, columns = np.nonzero(known)
    if len(rows) < 16:
        return np.zeros_like(flow)
    step = max(1, len(rows) // 4000)
    a, b = terms[rows[::step], columns[::step]], flow[rows[::step], columns[::step]]
    for _ in range(3):
        solved = np.linalg.lstsq(a, b, rcond=None)[0]
        error = ((a @ solved - b) ** 2).sum(axis=1)
        good = error <= np.quantile(error, 0.67)
        a, b = a[good], b[good]
        if len(a) < 16:
            break
    return np.asarray(terms @ solved, np.float32)


def _enlarged(move: Floats, height: int, width: int) -> Floats:
    """Displacements [h, w, 2] in pixels of the base resolution -> places [height, width, 2] in pixels of this one."""
    h, w = move.shape[:2]
    enlarged = np.asarray(cv2.resize(move, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    return _grid(height, width) + enlarged * np.array([width / w, height / h], np.float32)


def _grid(height: int, width: int) -> Floats:
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    return np.stack([xs, ys], axis=-1)
