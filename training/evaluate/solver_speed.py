"""How long a layer takes, and where the time goes.

    python -m training.evaluate.solver_speed                      one object, 85 frames of 640x384
    python -m training.evaluate.solver_speed --objects 3 --height 384 --width 672

Runs the real `omnimatte` stage on a synthesised clip, object after object, on whatever device torch finds, in a process
of its own, whose largest memory is reported. Per phase: wall seconds.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from services.artifacts import Store
from services.frames import resized
from services.geometry import base_size
from services.omnimatte.stage import SCHEDULES, Omnimatte
from services.stage import Progress, Request, execute
from training.data.assets import find
from training.data.paste_scene import paste_scene
from training.data.scenes import Scene
from training.evaluate.solver import put


class Clock:
    """Seconds by phase; a phase ends when a report names the next one."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._last = time.perf_counter()

    def started(self) -> None:
        self._last = time.perf_counter()

    def told(self, progress: Progress) -> None:
        now = time.perf_counter()
        self.seconds[progress.note] += now - self._last  # type: ignore[assignment]
        self._last = now


def requests(store: Store, scene: Scene, *, schedule: str) -> list[Request]:
    """One request per object of the scene, its pair made of the truth."""
    assert scene.background is not None and scene.solos is not None
    small = base_size(*scene.video.shape[1:3])
    objects = [{"label": f"object {n}", "input": "tracks", "channel": n} for n in range(scene.objects)]
    common = {
        "video": put(store, "video", "frames", scene.video),
        "tracks": put(store, "tracks", "masks", scene.masks),
        "background": put(store, "background", "frames", _halves(resized(scene.background, *small))),
        "background_ssr": put(store, "background_ssr", "frames", _halves(scene.background)),
    }
    made = []
    for n, solo in enumerate(scene.solos):
        pair = {
            "solo": put(store, f"solo {n}", "frames", _halves(resized(solo, *small))),
            "solo_ssr": put(store, f"solo_ssr {n}", "frames", _halves(solo)),
        }
        params: dict[str, Any] = {"objects": objects, "label": f"object {n}", "schedule": schedule, "seed": 0}
        made.append(Request("omnimatte", params, common | pair))
    return made


def _halves(frames: NDArray[np.uint8]) -> NDArray[np.float16]:
    return frames.astype(np.float16) / np.float16(255)


def _scene(*, objects: int, frames: int, height: int, width: int) -> Scene:
    assets = find("held-out")
    for seed in range(100):
        # Whether a seed has so many objects is seen on a picture that costs nothing.
        if paste_scene(assets, seed=seed, split="held-out", frames=1, height=32, width=48).objects >= objects:
            return paste_scene(assets, seed=seed, split="held-out", frames=frames, height=height, width=width)
    raise SystemExit(f"no scene has {objects} objects; choose 1 to 3.")


@dataclass(frozen=True)
class Run:
    """What a process measured of itself. phases: seconds each. operations: of the networks. Memory in bytes."""

    phases: dict[str, float]
    seconds: float
    operations: float
    memory: int
    device_memory: int


def timed(folder: str, asked: list[Request], *, threads: int) -> Run:
    """Run the requests on the store in `folder`, one after the other."""
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    stage, store, clock = Omnimatte(), Store(folder), Clock()
    stage.load(asked[0].params)
    with FlopCounterMode(display=False) as counter:
        started = time.perf_counter()
        for request in tqdm(asked, unit="object"):
            clock.started()
            execute(stage, request, store, on_progress=clock.told)
        seconds = time.perf_counter() - started
    device_memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    # The kernel's own high-water mark: rusage would count what the parent held when this process was made.
    memory = int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) * 1024
    return Run(dict(clock.seconds), seconds, counter.get_total_flops(), memory, device_memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1)
    parser.add_argument("--frames", type=int, default=85)
    parser.add_argument("--height", type=int, default=384)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--schedule", choices=sorted(SCHEDULES), default="fast")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        scene = _scene(objects=given.objects, frames=given.frames, height=given.height, width=given.width)
        asked = requests(Store(folder), scene, schedule=given.schedule)[: given.objects]
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other:
            run = other.submit(timed, folder, asked, threads=given.threads).result()
    print(f"{given.objects} of {given.width}x{given.height}, {given.frames} frames, {given.schedule}:")
    for phase, seconds in run.phases.items():
        print(f"  {phase:14} {seconds / given.objects:7.1f} s per object")
    rate = run.operations / run.seconds / 1e12
    print(f"  {'together':14} {run.seconds / given.objects:7.1f} s per object, {rate:.3f} TFLOP/s in the networks")
    print(f"  memory {run.memory / 2**30:.2f} GB, on the device {run.device_memory / 2**30:.2f} GB")


if __name__ == "__main__":
    main()
