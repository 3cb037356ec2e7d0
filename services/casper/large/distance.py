"""How far a quality tier is from `full`, for given weights: PSNR of its frames against the full tier's, and the time.

    python -m services.casper.large.distance FAMILY CLIP.npz [--tiers draft fast] [--keep 0] [--size 384 672]

FAMILY is cogvideox, wan-1.3b or wan-14b; its weights are those of the weights folder. CLIP.npz holds `video`
[T, H, W, 3] uint8 and `masks` [T, H, W, N] uint8 (0 or 255). Must not know: which weights.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.base_clip import BaseClip
from services.casper.large.casper import LargeCasper, Sampling
from services.casper.large.clip import Clip
from services.casper.large.families import FAMILIES
from services.casper.large.placement import choose, seen_device
from services.casper.large.tiers import FULL, TIERS, Tier, tier
from services.catalogue import locate
from services.errors import BadVideo

CAP = 100.0
"""PSNR in dB of equal results."""


@dataclass(frozen=True)
class Distance:
    """psnr: dB against peak 1, over all frames and channels, CAP at most. worst: of the worst frame. seconds: wall."""

    tier: str
    steps: int
    psnr: float
    worst: float
    seconds: float


def distances(
    casper: LargeCasper,
    clip: Clip,
    *,
    sampling: Sampling,
    keep: Sequence[int] = (),
    tiers: Iterable[Tier] = TIERS.values(),
    clock: Callable[[], float] = time.perf_counter,
) -> list[Distance]:
    """Each tier's distance from `full` on one run; `full` itself comes first."""
    found = []
    reference: NDArray[np.float32] | None = None
    for one in [FULL, *(each for each in tiers if each != FULL)]:
        started = clock()
        frames = np.concatenate([part.frames for part in casper.remove(clip, [keep], replace(sampling, tier=one))])
        seconds = clock() - started
        reference = frames if reference is None else reference
        squared = np.square(frames - reference).mean(axis=(1, 2, 3), dtype=np.float64)
        found.append(Distance(one.name, one.steps, _db(squared.mean()), _db(squared.max()), seconds))
    return found


def _db(squared: float) -> float:
    return CAP if squared <= 10 ** (-CAP / 10) else -10 * math.log10(squared)


def read_clip(path: Path) -> BaseClip:
    """A clip from a .npz file. Raises BadVideo if it holds none."""
    try:
        with np.load(path) as content:
            return BaseClip(content["video"], content["masks"], None)
    except (OSError, KeyError, ValueError) as error:
        raise BadVideo(f"{path} holds no clip ({error}); it needs the arrays 'video' and 'masks'.") from error


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure quality tiers against the full one; one JSON line for each.")
    parser.add_argument("family", choices=tuple(FAMILIES))
    parser.add_argument("clip", type=Path)
    parser.add_argument("--tiers", nargs="+", default=["draft", "fast"])
    parser.add_argument("--keep", nargs="*", type=int, default=[])
    parser.add_argument("--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="default: the family's own")
    given = parser.parse_args(arguments)
    family = FAMILIES[given.family]
    height, width = given.size or (family.standard.height, family.standard.width)
    placement = choose(seen_device(), family.need_at, height=height, width=width)
    casper = family.load(locate(family.base), placement, casper=family.file())
    sampling = replace(family.standard, height=height, width=width)
    tiers = [tier(name) for name in given.tiers]
    for found in distances(casper, read_clip(given.clip), keep=given.keep, tiers=tiers, sampling=sampling):
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
