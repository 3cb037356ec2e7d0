"""How far a quality tier is from `full`, for given weights of Wan Casper: PSNR against the full tier, and the time.

    python -m services.casper.wan.distance FOLDER CLIP.npz [--model 14b] [--tiers draft] [--keep 0] [--size 480 832]

CLIP.npz holds `video` [T, H, W, 3] uint8 and `masks` [T, H, W, N] uint8 (0 or 255). Must not know: which weights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.casper.cogvideox.distance import distances, read_clip
from services.casper.large.placement import choose, seen_device
from services.casper.large.tiers import tier
from services.casper.wan.casper import Sampling, WanCasper, need_at
from services.casper.wan.network import SHAPES


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure quality tiers against the full one; one JSON line for each.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", choices=list(SHAPES), default="1.3b")
    parser.add_argument("--tiers", nargs="+", default=["draft", "fast"])
    parser.add_argument("--keep", nargs="*", type=int, default=[])
    parser.add_argument("--size", nargs=2, type=int, default=[480, 832], metavar=("HEIGHT", "WIDTH"))
    given = parser.parse_args(arguments)
    height, width = given.size
    placement = choose(seen_device(), need_at(given.model), height=height, width=width)
    # Both families are called alike, which is all that `distances` asks for.
    casper: Any = WanCasper.load(given.folder, placement, size=given.model)
    sampling: Any = Sampling(height=height, width=width)
    tiers = [tier(name) for name in given.tiers]
    for found in distances(casper, read_clip(given.clip), keep=given.keep, tiers=tiers, sampling=sampling):
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
