"""How well Casper removes: a table over held-out synthetic clips.

    python -m training.evaluate_removal [--clips 40] [--steps 2] [--weights FILE] [--sheet PNG]

Clips use photographs and cut-outs that training never saw, at base resolution, all of their objects removed (background
runs) or all but one (solo runs). "Changed region": pixels where the ground truth differs from the input by more than
0.02. PSNR in dB, mean over clips. Baselines: the input as it is; per-frame OpenCV inpainting (Telea) of the object
masks; the plate that Casper is given.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from services.casper.network import CompactCasper, stack_conditions
from services.casper.sampler import Sampling, sample
from services.casper.stage import WEIGHTS, load_network
from services.casper.trimask import DILATION, trimask
from services.casper.windows import Window
from training.assets import find
from training.casper_data import HEIGHT, WIDTH, Scene, make_scene

Video = NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A scene, the channels to keep, and the truth for that."""

    scene: Scene
    keep: tuple[int, ...]
    truth: Video
    changed: NDArray[np.bool_]


def cases(count: int, *, seed: int = 1) -> list[Case]:
    """Deterministic held-out cases; about a third are solo runs."""
    rng = np.random.default_rng(seed)
    assets = find("held-out")
    found: list[Case] = []
    while len(found) < count:
        scene = make_scene(assets, rng, frames=8, label_all=True)
        objects = len(scene.labelled)
        keep = (int(rng.integers(objects)),) if objects > 1 and rng.random() < 0.5 else ()
        truth = scene.target(keep)
        changed = np.abs(scene.video.astype(np.float32) / 255 - truth).max(axis=-1) > 0.02
        if changed.mean() > 0.01:
            found.append(Case(scene, keep, truth, changed))
    return found


def telea(case: Case) -> Video:
    """Per-frame inpainting of the removed objects' masks."""
    out = []
    for frame, mask in zip(case.scene.video, case.scene.masks, strict=True):
        hole = np.where(trimask(mask, keep=case.keep, dilation=DILATION) == 0, 255, 0).astype(np.uint8)
        out.append(cv2.inpaint(frame, hole, 3, cv2.INPAINT_TELEA))
    return np.stack(out) / np.float32(255)


def casper(network: CompactCasper, case: Case, sampling: Sampling) -> Video:
    scene = case.scene
    tri = np.stack([trimask(m, keep=case.keep) for m in scene.masks])

    def conditions(window: Window) -> torch.Tensor:
        parts = (scene.video / np.float32(255), tri[..., None], scene.plate / np.float32(255), scene.seen[..., None])
        inside = [part[window.start : window.stop].astype(np.float32) for part in parts]
        return stack_conditions(*[torch.from_numpy(p.transpose(3, 0, 1, 2).copy())[None] for p in inside])

    shape = (len(scene.video), HEIGHT, WIDTH)
    parts = sample(network, conditions, shape=shape, sampling=sampling, on_window=lambda *_: None)
    return np.concatenate([part for _, part in parts])


def psnr(video: Video, truth: Video, where: NDArray[np.bool_] | None = None) -> float:
    error = np.square(video - truth)
    mean = float(error.mean() if where is None else error[where].mean())
    return -10 * float(np.log10(max(mean, 1e-10)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: input, truth, Telea, plate, Casper")
    given = parser.parse_args()
    network = load_network(given.weights)
    scores: dict[str, list[tuple[float, float, float]]] = {}
    rows = []
    for case in tqdm(cases(given.clips)):
        results = {
            "input": case.scene.video.astype(np.float32) / 255,
            "Telea": telea(case),
            "plate": case.scene.plate.astype(np.float32) / 255,
            "Casper": casper(network, case, Sampling(steps=given.steps)),
        }
        for name, video in results.items():
            inside = psnr(video, case.truth, case.changed)
            outside = psnr(video, case.truth, ~case.changed)
            scores.setdefault(name, []).append((inside, outside, psnr(video, case.truth)))
        rows.append(
            np.concatenate([case.scene.video[4] / 255.0, case.truth[4], *[v[4] for v in list(results.values())[1:]]], 1)
        )
    print(f"PSNR in dB, {given.clips} held-out clips, {given.steps} steps")
    print(f"{'':8}  changed region  elsewhere  whole frame")
    for name, values in scores.items():
        inside, outside, whole = np.mean(values, axis=0)
        print(f"{name:8}  {inside:14.2f}  {outside:9.2f}  {whole:11.2f}")
    if given.sheet:
        sheet = (np.clip(np.concatenate(rows[:12]), 0, 1)[..., ::-1] * 255).astype(np.uint8)
        cv2.imwrite(str(given.sheet), sheet)


if __name__ == "__main__":
    main()
