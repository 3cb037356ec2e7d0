"""First guesses of a layer, frame by frame: what the evidence says at base resolution, and what that says of a larger
frame. The network starts from them, and is trained on them.

Must not know: networks, artifacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.omnimatte import evidence
from services.omnimatte.layer import View, each
from services.omnimatte.source import Views

Array = NDArray[np.float32]
Half = NDArray[np.float16]

_EDGE = 1.5  # half width in base pixels of the band along a mask's edge that the mask does not decide
_BLUR = 1.0  # base pixels; the grain of a pair is finer, its shadows are coarser


@dataclass(frozen=True)
class BaseGuess:
    """A clip at base resolution, float16 0..1.

    Attributes:
        solo, background: [T, h, w, 3].
        expected: the colour that the layer is thought to have, [T, h, w, 3].
        own: coverage of the object's mask, [T, h, w].
        alpha: the guess, [T, h, w].
        noise: of alpha, one standard deviation, where nothing should differ.
    """

    solo: Half
    background: Half
    expected: Half
    own: Half
    alpha: Half
    noise: float


@dataclass(frozen=True)
class FrameGuess:
    """One frame at working resolution, float32 0..1. Maps [h, w], frames [h, w, 3].

    `enlarged` is the base alpha; the rest as in `BaseGuess`.
    """

    solo: Array
    background: Array
    expected: Array
    own: Array
    alpha: Array
    enlarged: Array


def of_clip(
    parts: Iterable[Views], *, shape: tuple[int, int, int], on_frame: Callable[[], None] = lambda: None
) -> BaseGuess:
    """The guess for a clip of `shape` [T, h, w] that is read in `parts`."""
    solo, background, expected = (np.empty((*shape, 3), np.float16) for _ in range(3))
    own, others, least, alpha = (np.empty(shape, np.float16) for _ in range(4))
    samples, t = [], 0
    for views in parts:
        for view in each(views):
            on_frame()
            solo[t], background[t], own[t], others[t] = view
            quiet = evidence.away(view[2], view[3])
            least[t] = evidence.least_alpha(view[0], evidence.matched(*view[:2], quiet), view[2], blur=_BLUR)
            samples.append(least[t][quiet][::7])
            t += 1
    noise = evidence.noise_floor(np.concatenate(samples).astype(np.float32))
    found = [evidence.effects(*_floats(*frame), noise=noise) for frame in zip(least, own, others, strict=True)]
    for t, region in enumerate(evidence.steady(np.stack(found))):
        frame = _floats(solo[t], background[t], own[t], least[t] * region)
        alpha[t], expected[t] = evidence.guess(*frame, edge=_EDGE)
    return BaseGuess(solo, background, expected, own, alpha, noise)


def of_frame(view: View, base_alpha: NDArray[np.floating]) -> FrameGuess:
    """The guess for a frame at working resolution from its alpha [h, w] at base resolution."""
    solo, background, own, others = view
    height, width = own.shape
    scale = max(1.0, height / base_alpha.shape[0])
    large = cv2.resize(base_alpha.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    enlarged = np.asarray(large, np.float32)
    # Along the object's edge the enlarged alpha is the object's own, smeared: no more of it is an effect than shows.
    level = evidence.matched(solo, background, evidence.away(own, others))
    least = evidence.least_alpha(solo, level, own, blur=_BLUR)
    seam = evidence.grown(own > 0.02, 2 * _EDGE * scale)
    effect = np.where(seam, np.minimum(enlarged, least), enlarged)
    alpha, expected = evidence.guess(solo, background, own, effect, edge=_EDGE * scale * 0.75)
    return FrameGuess(solo, background, expected, own, alpha, enlarged)


def _floats(*arrays: NDArray[np.floating]) -> tuple[Array, ...]:
    return tuple(a.astype(np.float32) for a in arrays)
