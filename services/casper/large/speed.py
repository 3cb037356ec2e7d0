"""How fast a published Casper is on this device, and how much memory it takes, beside its arithmetic floor.

    python -m services.casper.large.speed cogvideox --tiers full draft --runs 1 4 [--frames 85] [--size 384 672]
        [--offload none|model|group] [--fp8] [--no-compile] [--layers N] [--peak-tflops 790] [--out FILE.json]

Weights are random, at the published size: nothing has to be downloaded, and only the tier `fast` depends on their
values (with random ones its cache skips nothing, so its time is that of `full`). One call of `remove` is timed from the
first frame read to the last one decoded, after a short one that compiles and warms up. The floor is that of the
denoiser alone (`flops.py`) at `--peak-tflops` dense operations in bf16. `--tiny` does the same with tiny networks on a
CPU, to try the command. Must not know: files of weights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from services.base_clip import BaseClip
from services.casper.large import flops
from services.casper.large.casper import LargeCasper, Sampling
from services.casper.large.families import FAMILIES
from services.casper.large.kept import DEFAULT_PROMPT
from services.casper.large.placement import SPARE, Offload, Placement, choose, peak_memory, seen_device
from services.casper.large.preparation import padded
from services.casper.large.tiers import TIERS, Tier
from services.errors import Unavailable


@dataclass(frozen=True)
class Row:
    """One measurement. Seconds of wall time; step: of one denoising step of one run; floor: of all runs' denoising.

    peak: bytes of device memory, 0 on a CPU; estimate: what `placement.py` had expected.
    """

    family: str
    tier: str
    runs: int
    frames: int
    size: str
    device: str
    placement: Mapping[str, Any]
    encode: float
    step: float
    denoise: float
    decode: float
    total: float
    floor: float
    peak: int
    estimate: int


class Stopwatch:
    """Gives the time since the last report to the kind of work that is reported; waits for the device first."""

    def __init__(self, *, wait: Callable[[], None], bar: Any) -> None:
        self.seconds = {"encoding": 0.0, "denoising": 0.0, "decoding": 0.0}
        self._wait, self._bar = wait, bar
        self._last = time.perf_counter()

    def __call__(self, done: int, total: int, note: str) -> None:
        self._wait()
        now = time.perf_counter()
        self.seconds[note] += now - self._last
        self._last = now
        self._bar.set_postfix_str(f"{note} {done}/{total}")


def measure(
    casper: LargeCasper,
    family: str,
    sampling: Sampling,
    *,
    runs: int,
    frames: int,
    placement: Placement,
    peak: float,
    layers: int | None = None,
) -> Row:
    """Time one call of `remove` on a clip of noise, at the model's own size.

    peak: operations a second that the device could do at most. layers: of the denoiser, if not all.
    """
    clip = _clip(frames, objects=max(1, runs - 1), height=sampling.height, width=sampling.width)
    keeps = [[], *([channel] for channel in range(runs - 1))]
    gpu = placement.device != "cpu"
    wait = torch.cuda.synchronize if gpu else lambda: None
    if gpu:
        torch.cuda.reset_peak_memory_stats()
    with tqdm(total=runs * frames, desc=f"{family} {sampling.tier.name} x{runs}", unit="frame") as bar:
        watch = Stopwatch(wait=wait, bar=bar)
        for part in casper.remove(clip, keeps, sampling, on_progress=watch):
            bar.update(len(part.frames))
        watch(runs, runs, "decoding")
    shape = flops.SHAPES[family]
    share = 1.0 if layers is None else layers / shape.layers
    latents = padded(frames, at_least=sampling.window_frames, even_latents=shape.even).latents
    size = {"height": sampling.height, "width": sampling.width}
    operations = flops.of_run(shape, latents=latents, steps=sampling.tier.steps, share=share, **size)
    spent = watch.seconds
    # A cache takes one run at a time, see `LargeCasper`.
    together = 1 if sampling.tier.cache is not None else min(runs, placement.together)
    need = FAMILIES[family].need_at(sampling.height, sampling.width)
    return Row(
        family=family,
        tier=sampling.tier.name,
        runs=runs,
        frames=frames,
        size=f"{sampling.height}x{sampling.width}",
        device=torch.cuda.get_device_name() if gpu else "CPU",
        placement={name: str(value) for name, value in asdict(placement).items()},
        encode=spent["encoding"],
        step=spent["denoising"] / runs / sampling.tier.steps,
        denoise=spent["denoising"],
        decode=spent["decoding"],
        total=sum(spent.values()),
        floor=runs * operations / peak,
        peak=torch.cuda.max_memory_allocated() if gpu else 0,
        estimate=peak_memory(need, offload=placement.offload, fp8=placement.fp8, together=together),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| family | tier | runs | frames | s/step/run | encode s | denoise s | floor s | decode s | total s "
        "| peak GiB | estimate GiB |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        numbers = (row.step, row.encode, row.denoise, row.floor, row.decode, row.total)
        memory = (row.peak / 2**30, row.estimate / 2**30)
        cells = (
            row.family,
            row.tier,
            row.runs,
            row.frames,
            *(f"{n:.3g}" for n in numbers),
            *(f"{m:.1f}" for m in memory),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def random_casper(family: str, folder: Path, placement: Placement, *, layers: int | None = None) -> LargeCasper:
    """The published model with random weights on `placement`'s device; `folder` takes an embedding of the prompt.

    layers: of the denoiser, if not all.
    """
    from services.casper.large import random_weights

    made = random_weights.MAKERS[family](folder, placement, layers)
    assert isinstance(made, LargeCasper)
    return made


def _clip(frames: int, *, objects: int, height: int, width: int) -> BaseClip:
    random = np.random.default_rng(0)
    video = random.integers(0, 255, (frames, height, width, 3), np.uint8)
    masks = np.zeros((frames, height, width, objects), np.uint8)
    for channel in range(objects):
        left = channel * width // (objects + 1)
        masks[:, height // 4 : height // 2, left : left + width // (2 * objects + 2), channel] = 255
    return BaseClip(video, masks, None)


def _placement(given: argparse.Namespace, *, height: int, width: int, runs: int) -> Placement:
    if given.tiny:
        return Placement(together=runs)
    need_at = FAMILIES[given.family].need_at
    device = seen_device()
    if device.kind != "cuda":
        raise Unavailable("there is no GPU here; try the command with --tiny, or run it where one is.")
    chosen = choose(device, need_at, height=height, width=width, runs=runs, exact=not given.fp8)
    offload: Offload = given.offload or chosen.offload
    need = need_at(height, width)
    taken = {n: peak_memory(need, offload=offload, fp8=given.fp8, together=n) for n in range(1, runs + 1)}
    together = max((n for n, size in taken.items() if size + SPARE <= device.free), default=1)
    # Hooks around a block break its graph, as in `choose`.
    compiled = chosen.compiled and not given.no_compile and offload != "group" and not given.fp8
    return replace(chosen, offload=offload, fp8=given.fp8, compiled=compiled, together=together)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("family", choices=tuple(FAMILIES))
    parser.add_argument("--tiers", nargs="+", choices=tuple(TIERS), default=["full", "draft"])
    parser.add_argument("--runs", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--frames", type=int, help="default: one window, 85 or 81")
    parser.add_argument("--size", nargs=2, type=int, metavar=("HEIGHT", "WIDTH"), help="default: the family's own")
    parser.add_argument("--offload", choices=("none", "model", "group"), help="default: what fits")
    parser.add_argument("--fp8", action="store_true", help="keep weights in 8 bits")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--layers", type=int, help="of the denoiser; default: all")
    parser.add_argument("--peak-tflops", type=float, default=790.0, help="default: an H100's in practice, dense bf16")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, to try the command")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    given = parser.parse_args(arguments)
    standard = FAMILIES[given.family].standard
    frames = given.frames or standard.window_frames
    height, width = given.size or ((32, 48) if given.tiny else (standard.height, standard.width))
    context = "" if given.family == "cogvideox" else "zeros"
    placement = _placement(given, height=height, width=width, runs=max(given.runs))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        if given.tiny:
            from services.casper.large.random_weights import tiny_casper

            casper = tiny_casper(given.family, Path(folder), placement)
        else:
            casper = random_casper(given.family, Path(folder), placement, layers=given.layers)
        asked: dict[str, Any] = {"frames": frames, "placement": placement, "layers": given.layers}
        asked["peak"] = given.peak_tflops * 1e12
        base = replace(standard, height=height, width=width, context=context, prompt=DEFAULT_PROMPT)
        for runs in given.runs:
            torch.compiler.reset()
            for cache in {TIERS[name].cache for name in given.tiers}:
                measure(casper, given.family, replace(base, tier=Tier("warm-up", 1, cache)), runs=runs, **asked)
            for name in given.tiers:
                rows.append(measure(casper, given.family, replace(base, tier=TIERS[name]), runs=runs, **asked))
                if given.out is not None:
                    given.out.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(table(rows))


if __name__ == "__main__":
    main()
