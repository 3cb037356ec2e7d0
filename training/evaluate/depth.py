"""How well depth orders objects: a table over held-out synthetic frames.

    python -m training.evaluate.depth [--frames 300] [--clips 40] [--weights FILE]

Photographs and cut-outs that training never saw, at base resolution. "Order": share of pairs of visible objects whose
order is the one in which they were drawn; "hidden": the same over pairs that border on each other, the only ones
where a wrong order shows. "Error": mean absolute error of the depth map, and of objects' depths.
Baseline: the rule that the object that ends lower in the picture is nearer (ties count half), and for the map the row.

Then, on clips with a crossing: share of (pair, frame) in the right order where two masks touch and the complete objects
overlap, by the rule, the network frame by frame, and as the stage gives it (`training/evaluate/crossings.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from services.depth import guide
from services.depth.compact import WEIGHTS, estimate
from services.engines import Engine
from training.data.assets import find
from training.data.depth import HEIGHT, WIDTH, Scene, make_scene
from training.evaluate import crossings

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """One method's depth map [h, w] and objects' depths [N] (NaN unseen) for one scene."""

    depth: Floats
    objects: Floats


@dataclass(frozen=True)
class Row:
    order: float
    hidden: float
    map_error: float
    object_error: float


def rule(scene: Scene) -> Answer:
    """The lower contact is nearer; the map is that rule's row, stretched over the usual range."""
    plane = guide.guide(scene.frame, scene.masks)[5]
    rows = [guide.contact_row(scene.masks[..., i]) for i in range(scene.masks.shape[-1])]
    stretched = np.clip((plane - 0.3) / 0.7, 0, 1)
    return Answer(stretched, np.array([np.nan if row is None else np.clip((row - 0.3) / 0.7, 0, 1) for row in rows]))


def network(engine: Engine, scene: Scene) -> Answer:
    depth = estimate(engine, scene.frame, scene.masks)
    return Answer(depth, guide.object_depths(depth, scene.masks))


def measure(answers: Sequence[Answer], scenes: Sequence[Scene]) -> Row:
    every: list[float] = []
    hidden: list[float] = []
    for answer, scene in zip(answers, scenes, strict=True):
        for back in range(len(scene.depths)):
            for front in range(back + 1, len(scene.depths)):
                difference = answer.objects[front] - answer.objects[back]
                if np.isnan(difference):
                    continue
                right = 0.5 if abs(difference) < 1e-6 else float(difference > 0)
                every.append(right)
                if _touch(scene.masks[..., back], scene.masks[..., front]):
                    hidden.append(right)
    maps = [np.abs(a.depth - s.depth).mean() for a, s in zip(answers, scenes, strict=True)]
    objects = np.concatenate([np.abs(a.objects - s.depths) for a, s in zip(answers, scenes, strict=True)])
    return Row(float(np.mean(every)), float(np.mean(hidden)), float(np.mean(maps)), float(np.nanmean(objects)))


def _touch(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> bool:
    """Whether two visible parts border on each other over more than a few pixels."""
    return int(((cv2.dilate(first, np.ones((3, 3), np.uint8)) > 0) & (second > 0)).sum()) >= 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    rng = np.random.default_rng(11)
    assets = find("held-out")
    scenes = [make_scene(assets, rng) for _ in range(given.frames)]
    engine = Engine(given.weights)
    print(
        f"{given.frames} frames of {WIDTH}x{HEIGHT}\n{'':8} {'order':>7} {'hidden':>7} {'map error':>10} {'objects':>8}"
    )
    methods = {"rule": [rule(s) for s in scenes], "network": [network(engine, s) for s in scenes]}
    for name, answers in methods.items():
        row = measure(answers, scenes)
        print(
            f"{name:8} {100 * row.order:6.1f}% {100 * row.hidden:6.1f}% {row.map_error:10.3f} {row.object_error:8.3f}"
        )
    if given.clips:
        print(crossings.table(engine, assets, clips=given.clips))


if __name__ == "__main__":
    main()
