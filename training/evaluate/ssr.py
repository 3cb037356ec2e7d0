"""What guided super-resolution gains: a table over held-out synthetic frames.

    python -m training.evaluate.ssr [--frames 40] [--base-height 128] [--weights FILE] [--sheet PNG]

Photographs and cut-outs that training never saw, 448x256, with the simulated Casper result of `ssr_data.py` at 224x128,
the compact Casper's size; `--base-height 171` has the ratio of a published one (384x672 to 576x1024).
PSNR in dB, mean over frames. "Changed": truth differs from the input by more than 0.02. "Object": inside the removed
object's mask, where no detail may be taken from the input; "effect": the rest of what changed; "outside": all but the
removed objects. "Same": the share of
untouched pixels (nothing changes within 12 pixels) that come out within 1/255 of the input.
Each sample's plate is made from the other frames of its clip, as a job makes it.
Baselines: Casper's result enlarged by bicubic interpolation; the closed form, which adds the input's detail where
Casper changed little; and the closed form that also adds the plate's detail behind removed objects.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from services.engines import Engine
from services.ssr.stage import WEIGHTS, sharpen
from training.data.assets import find
from training.data.ssr import Sample, make_moments, make_sample
from training.recipes.ssr import plate_detail

Image = NDArray[np.float32]
Method = Callable[[Sample], Image]

BASE_HEIGHT = 128


@dataclass(frozen=True)
class Row:
    """PSNR over the frame and its regions; share of untouched pixels that are the input's."""

    frame: float
    changed: float
    object: float
    effect: float
    outside: float
    same: float


def samples(count: int, *, base_height: int = BASE_HEIGHT, seed: int = 7) -> list[Sample]:
    """Deterministic held-out frames in which something changes."""
    rng = np.random.default_rng(seed)
    assets = find("held-out")
    found: list[Sample] = []
    while len(found) < count:
        sample = make_sample(make_moments(assets, rng, count=1)[0], rng, base_height=base_height)
        if sample.changed.mean() > 0.01:
            found.append(sample)
    return found


def bicubic(sample: Sample) -> Image:
    return _planes(sample, 0)


def closed_form(sample: Sample) -> Image:
    """C + gate x (I - L), the gate falling from 1 to 0 as |C - L| grows from 2 to 12 of 255."""
    c, i, low = (_planes(sample, k) for k in range(3))
    change = cv2.GaussianBlur(np.abs(c - low).max(axis=-1), (0, 0), 1.5)
    gate = 1 - np.clip((change * 255 - 2) / 10, 0, 1)
    return np.clip(c + (gate * (sample.guide[9] > 0))[..., None] * (i - low), 0, 1)


def with_plate(sample: Sample) -> Image:
    """The closed form, and the plate's detail where the original's may not be taken and Casper agrees with it."""
    guides = torch.from_numpy(sample.guide)[None]
    detail = plate_detail(guides)[0].numpy().transpose(1, 2, 0)
    return np.clip(closed_form(sample) + detail * (sample.guide[9] == 0)[..., None], 0, 1)


def network(engine: Engine) -> Method:
    return lambda sample: sharpen(engine, sample.guide).astype(np.float32)


def measure(method: Method, chosen: Sequence[Sample]) -> Row:
    """Mean figures of `method`; a region that a sample lacks does not count."""
    figures: dict[str, list[float]] = {name: [] for name in Row.__annotations__}
    for sample in chosen:
        made = method(sample)
        error = ((made - sample.truth) ** 2).mean(axis=-1)
        inside = sample.guide[9] == 0
        regions = {
            "frame": np.ones_like(inside),
            "changed": sample.changed,
            "object": sample.changed & inside,
            "effect": sample.changed & ~inside,
            "outside": ~inside,
        }
        for name, region in regions.items():
            if region.sum() >= 64:
                figures[name].append(-10 * np.log10(max(float(error[region].mean()), 1e-8)))
        near = cv2.dilate((sample.changed | inside).astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
        if (~near).any():
            figures["same"].append(float((np.abs(made - _planes(sample, 1))[~near] <= 1 / 255).mean()))
    return Row(**{name: float(np.mean(values)) if values else float("nan") for name, values in figures.items()})


def _planes(sample: Sample, index: int) -> Image:
    return np.ascontiguousarray(sample.guide[3 * index : 3 * index + 3].transpose(1, 2, 0))


def _sheet(path: Path, chosen: Sequence[Sample], methods: Sequence[Method]) -> None:
    """One row a sample: input, each method, truth."""
    rows = [np.hstack([_planes(s, 1), *(method(s) for method in methods), s.truth]) for s in chosen]
    cv2.imwrite(str(path), (np.vstack(rows)[..., ::-1] * 255 + 0.5).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--base-height", type=int, default=BASE_HEIGHT, help="of Casper's frames, beside 256")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--sheet", type=Path)
    given = parser.parse_args()
    chosen = samples(given.frames, base_height=given.base_height)
    methods = {
        "bicubic": bicubic,
        "closed form": closed_form,
        "with plate": with_plate,
        "network": network(Engine(given.weights)),
    }
    print(f"{'':12} {'frame':>7} {'changed':>8} {'object':>7} {'effect':>7} {'outside':>8} {'same':>6}")
    for name, method in methods.items():
        row = measure(method, chosen)
        changed = f"{row.changed:8.2f} {row.object:7.2f} {row.effect:7.2f}"
        print(f"{name:12} {row.frame:7.2f} {changed} {row.outside:8.2f} {100 * row.same:5.1f}%")
    if given.sheet:
        _sheet(given.sheet, chosen[:5], list(methods.values()))


if __name__ == "__main__":
    main()
