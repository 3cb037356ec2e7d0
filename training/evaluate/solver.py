"""The solver's schedules side by side, on pairs whose layers are known (paper section 3.5, appendix D).

    python -m training.evaluate.solver                            the fast schedules and their ablations
    python -m training.evaluate.solver --first 8                  on scenes that no constant was chosen on (0 to 5 were)
    python -m training.evaluate.solver --reference                the paper's too: 40,000 iterations for every object
    python -m training.evaluate.solver --reference --iterations 1000      the same, cut short

The solo video and the background are the truth, so what is measured is the solver alone. Alpha: mean squared error.
Colour: mean absolute error of alpha times colour, in codes of 255. Effect: overlap (IoU) of found and true alpha above
0.1 outside the object's mask. Spilled: share of the alpha that lies where the truth has none. Operations: of the
networks, counted by PyTorch; what is not a network costs both schedules about the same.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from services.artifacts import Store, digest
from services.compositing import over, psnr
from services.frames import resized
from services.omnimatte import fast
from services.omnimatte.fitting import Weights
from services.omnimatte.reference import layer as reference
from services.omnimatte.reference.solve import Pass
from services.omnimatte.stage import Omnimatte, Schedule
from services.omnimatte.unet import WEIGHTS
from services.stage import Progress, Request, execute
from training.data.assets import find
from training.data.paste_scene import paste_scene

Array = NDArray[np.float32]
_SEEN = 0.1


@dataclass(frozen=True)
class Case:
    """One object. solo, background: [T, h, w, 3] uint8; mask: [T, h, w] uint8; truth: [T, h, w, 4], straight, 0..1."""

    name: str
    solo: NDArray[np.uint8]
    background: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    truth: Array


@dataclass(frozen=True)
class Outcome:
    """What one schedule made of one case."""

    alpha: float
    colour: float
    recomposition: float
    effect: float
    spilled: float
    seconds: float
    teraflop: float


@dataclass(frozen=True)
class Contender:
    """A schedule, and the weights that a fast one starts from; None: it starts at the closed-form guess."""

    schedule: Schedule
    weights: Path | None = WEIGHTS


def contenders(*, paper: bool, iterations: int, weights: Path) -> dict[str, Contender]:
    """Everything that is compared, by name."""
    quick, never = fast.FAST, (1e-6, 1e-6)
    still = replace(quick, base_steps=0, working_steps=0)
    thick = (replace(one, sparsity_l1=0, sparsity_l0=0) for one in (quick.base, quick.working))
    free = (replace(one, supervision=never) for one in (quick.base, quick.working))
    found = {
        "fast": Contender(quick, weights),
        "fast, no optimisation": Contender(still, weights),
        "fast, no learned start": Contender(quick, None),
        "fast, neither": Contender(still, None),
        "fast, no sparsity": Contender(_weighed(quick, *thick), weights),
        "fast, no supervision": Contender(_weighed(quick, *free), weights),
    }
    if paper:
        whole = _shortened(reference.REFERENCE, iterations) if iterations else reference.REFERENCE
        found["reference"] = Contender(whole)
        found["reference, no sparsity"] = Contender(_without(whole, "sparsity"))
        found["reference, no mask loss"] = Contender(_without(whole, "mask"))
        found["reference, RGB copied"] = Contender(_copied(whole))
    return found


def _weighed(quick: fast.Schedule, base: Weights, working: Weights) -> fast.Schedule:
    return replace(quick, base=base, working=working)


def _without(whole: reference.Schedule, term: Literal["sparsity", "mask"]) -> reference.Schedule:
    def less(one: Pass) -> Pass:
        weights = replace(one.weights, sparsity=0) if term == "sparsity" else replace(one.weights, mask=0)
        return replace(one, weights=weights)

    return replace(whole, base=less(whole.base), working=less(whole.working))


def _copied(whole: reference.Schedule) -> reference.Schedule:
    base, working = (replace(one, colour_rate=0) for one in (whole.base, whole.working))
    return replace(whole, base=base, working=working, copied=True)


def cases(count: int, *, first: int = 0, frames: int, height: int) -> list[Case]:
    """The foremost object of each of `count` held-out scenes from number `first` on, frames three by two."""
    assets, found = find("held-out"), []
    for seed in range(first, first + count):
        scene = paste_scene(assets, seed=seed, split="held-out", frames=frames, height=height, width=height * 3 // 2)
        assert scene.background is not None and scene.solos is not None and scene.layers is not None
        # The last object is in front: its mask is whole.
        truth = scene.layers[-1].astype(np.float32) / 255
        found.append(Case(f"{seed:02d}", scene.solos[-1], scene.background, scene.masks[..., -1], truth))
    return found


def solve(case: Case, contender: Contender, *, label: str = "") -> tuple[Array, Array, float]:
    """Alpha [T, h, w], colour [T, h, w, 3] and seconds of `contender`, through the real stage."""
    height, width = case.mask.shape[1:]
    half = [resized(video, height // 2, width // 2) for video in (case.solo, case.background)]
    arrays: dict[str, NDArray[Any]] = {
        "video": case.solo,
        "solo": half[0].astype(np.float16) / 255,
        "background": half[1].astype(np.float16) / 255,
        "solo_ssr": case.solo.astype(np.float16) / 255,
        "background_ssr": case.background.astype(np.float16) / 255,
    }
    with TemporaryDirectory() as folder, tqdm(desc=label, leave=False) as bar:
        store = Store(folder)
        inputs = {name: put(store, name, "frames", array) for name, array in arrays.items()}
        inputs["it"] = put(store, "it", "masks", case.mask[..., None])
        objects = [{"label": "it", "input": "it", "channel": 0}]
        request = Request("omnimatte", {"objects": objects, "label": "it", "schedule": "this", "seed": 0}, inputs)

        def show(progress: Progress) -> None:
            bar.total = progress.total
            bar.update(progress.done - bar.n)

        stage = Omnimatte({"this": contender.schedule}, contender.weights)
        stage.load(request.params)
        started = time.perf_counter()
        result = execute(stage, request, store, on_progress=show)
        seconds = time.perf_counter() - started
        made = store.get(result.address)
        alpha, colour = (np.asarray(made.array(name)[:], np.float32) for name in ("alpha", "rgb"))
    return alpha[..., 0], colour, seconds


def put(store: Store, name: str, kind: str, array: NDArray[Any]) -> str:
    """Write one array as an artifact; returns its address."""
    address = digest(name)
    draft = store.draft(address, stage="evaluation")
    draft.array(kind, shape=array.shape, dtype=str(array.dtype))[:] = array
    draft.commit(request={}, meta={})
    return address


def measure(case: Case, alpha: Array, colour: Array, *, seconds: float, teraflop: float) -> Outcome:
    """Scores of a layer; see the module's text."""
    true_alpha, true_colour = case.truth[..., 3], case.truth[..., :3]
    background, solo = (video.astype(np.float32) / 255 for video in (case.background, case.solo))
    beyond = np.stack([cv2.dilate(mask, np.ones((3, 3), np.uint8)) for mask in case.mask]) == 0
    found, wanted = beyond & (alpha > _SEEN), beyond & (true_alpha > _SEEN)
    difference = alpha[..., None] * colour - true_alpha[..., None] * true_colour
    nothing = (true_alpha < 0.5 / 255) & beyond
    return Outcome(
        alpha=float(np.mean((alpha - true_alpha) ** 2)),
        colour=255 * float(np.mean(np.abs(difference))),
        recomposition=psnr(over(colour, alpha[..., None], background), solo, peak=1.0),
        effect=float((found & wanted).sum() / max(1, (found | wanted).sum())) if wanted.any() else float("nan"),
        spilled=float(alpha[nothing].sum() / max(1e-6, float(alpha.sum()))),
        seconds=seconds,
        teraflop=teraflop,
    )


def operations(case: Case, contender: Contender) -> float:
    """Floating-point operations of the networks, in units of 1e12."""
    schedule = contender.schedule
    if isinstance(schedule, fast.Schedule):
        return _counted(case, contender)
    # Every iteration is the same: counted once, not twenty thousand times.
    one, two = (_counted(case, Contender(_shortened(schedule, n))) for n in (1, 2))
    return one + (schedule.base.iterations - 1) * (two - one)


def _shortened(schedule: reference.Schedule, iterations: int) -> reference.Schedule:
    base, working = (replace(one, iterations=iterations) for one in (schedule.base, schedule.working))
    return replace(schedule, base=base, working=working)


def _counted(case: Case, contender: Contender) -> float:
    with FlopCounterMode(display=False) as counter:
        solve(case, contender, label="counting")
    return counter.get_total_flops() / 1e12


def report(outcomes: Mapping[str, list[Outcome]]) -> str:
    """Means over the cases as a Markdown table; of alpha's error the median too, which one hard scene does not move."""
    lines = [
        "| schedule | alpha MSE | its median | colour | recomposition | effect IoU | spilled | s | TFLOP |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rows in outcomes.items():
        mean = {key: float(np.nanmean([asdict(row)[key] for row in rows])) for key in asdict(rows[0])}
        median = float(np.median([row.alpha for row in rows]))
        lines.append(
            f"| {name} | {mean['alpha']:.5f} | {median:.5f} | {mean['colour']:.2f} | {mean['recomposition']:.1f} dB | "
            f"{mean['effect']:.2f} | {100 * mean['spilled']:.2f} % | {mean['seconds']:.1f} | {mean['teraflop']:.3f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--first", type=int, default=0, help="number of the first scene")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--height", type=int, default=128, help="of the working resolution; base is half of it")
    parser.add_argument("--reference", action="store_true", help="the paper's schedule and its ablations as well")
    parser.add_argument(
        "--iterations", type=int, default=0, help="of each pass of the reference; 0: the paper's 20,000"
    )
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the fast schedules start")
    parser.add_argument("--only", type=lambda text: text.split(";"), help="only these schedules, separated by ;")
    parser.add_argument("--json", type=Path, help="write every outcome here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    compared = contenders(paper=given.reference, iterations=given.iterations, weights=given.weights)
    names = given.only or list(compared)
    outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
    for case in tqdm(cases(given.cases, first=given.first, frames=given.frames, height=given.height), unit="object"):
        for name in names:
            alpha, colour, seconds = solve(case, compared[name], label=name)
            count = operations(case, compared[name])
            outcomes[name].append(measure(case, alpha, colour, seconds=seconds, teraflop=count))
            if given.json:
                given.json.write_text(json.dumps({k: [asdict(row) for row in v] for k, v in outcomes.items()}))
    print(report(outcomes))


if __name__ == "__main__":
    main()
