"""Order accuracy on frames with a crossing, on synthetic clips whose layers are known.

A crossing: the visible masks of two objects come within two pixels of each other and their complete alphas overlap. Two
sets of clips: "grounded", where what is nearer stands lower (some objects are lifted, cut off or bounce), as it is for
most footage; and "any order", the same with the layers shuffled, where feet and perspective tell nothing and only what
is seen of the occlusion can. The second keeps the first honest: the rule by which it is drawn is known to the network.
Must not know how an order is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from services.depth import guide, occlusion
from services.depth.compact import estimate
from services.depth.crossings import settled
from services.depth.smoothing import smooth_tracks
from services.engines import Engine
from training.data.assets import Assets
from training.data.depth import HEIGHT, WIDTH
from training.data.object_paste import synthesise

FRAMES, SPACING = 24, 2
_SEED = 5
Bools = NDArray[np.bool_]
Depths = NDArray[np.float32]


@dataclass(frozen=True)
class Crossing:
    """video [T, h, w, 3] uint8; masks [T, h, w, N] uint8 0 or 255, back to front; met [T, N, N], frames that count."""

    video: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    met: Bools


def synthesised(assets: Assets, *, count: int, shuffled: bool, seed: int = _SEED) -> Iterator[Crossing]:
    """`count` seeded clips, each with at least one frame that counts."""
    rng = np.random.default_rng([seed, int(shuffled)])
    times = np.arange(FRAMES, dtype=np.float32) * SPACING
    while count:
        clip = synthesise(assets, rng, times=times, height=HEIGHT, width=WIDTH)
        objects = len(clip.layers)
        if shuffled:
            clip = replace(clip, layers=tuple(clip.layers[i] for i in rng.permutation(objects)))
        masks = np.stack([np.where(clip.visible(i) > 0.5, 255, 0) for i in range(objects)], -1).astype(np.uint8)
        met = crossed(masks, np.stack([layer.rgba[..., 3] > 0.5 for layer in clip.layers], -1))
        if met.any():
            count -= 1
            yield Crossing(np.round(clip.draw(range(objects)) * 255).astype(np.uint8), masks, met)


def crossed(masks: NDArray[np.uint8], complete: Bools) -> Bools:
    """[T, N, N] pairs that touch and whose complete extents overlap; masks, complete: [T, h, w, N]."""
    met = np.stack([occlusion.touching(frame) for frame in masks])
    for t, back, front in np.argwhere(met):
        met[t, back, front] = bool((complete[t, ..., back] & complete[t, ..., front]).any())
    return met


def right(depths: Depths, met: Bools) -> list[float]:
    """1 right, 0 wrong, 0.5 undecided, for every pair and frame that counts; objects are ordered back to front."""
    found = []
    for t, back, front in np.argwhere(met):
        if back < front:
            difference = depths[t, front] - depths[t, back]
            found.append(0.5 if np.isnan(difference) or abs(difference) < 1e-6 else float(difference > 0))
    return found


def answers(engine: Engine, clip: Crossing) -> dict[str, Depths]:
    """Depths [T, N] by every method."""
    objects = range(clip.masks.shape[-1])
    rows = [[guide.contact_row(mask[..., i]) for i in objects] for mask in clip.masks]
    rule = np.array([[np.nan if row is None else row for row in frame] for frame in rows], np.float32)
    floats = clip.video.astype(np.float32) / 255
    depths = np.stack([guide.object_depths(estimate(engine, f, m), m) for f, m in zip(floats, clip.masks, strict=True)])
    greys = np.stack([np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in clip.video])
    return {"rule": rule, "network": depths, "stage": settled(smooth_tracks(depths), greys, clip.masks)}


def table(engine: Engine, assets: Assets, *, clips: int) -> str:
    """The printed table, both sets."""
    lines = [
        f"order on frames with a crossing, {clips} clips of {FRAMES} frames each",
        f"{'':10} frames    rule network   stage",
    ]
    for name, shuffled in (("grounded", False), ("any order", True)):
        scores: dict[str, list[float]] = {}
        for clip in synthesised(assets, count=clips, shuffled=shuffled):
            for method, depths in answers(engine, clip).items():
                scores.setdefault(method, []).extend(right(depths, clip.met))
        means = [100 * float(np.mean(scores[method])) for method in ("rule", "network", "stage")]
        lines.append(f"{name:10} {len(scores['rule']):6} " + " ".join(f"{mean:6.1f}%" for mean in means))
    return "\n".join(lines)
