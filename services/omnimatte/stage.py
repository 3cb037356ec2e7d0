"""The `omnimatte` stage: an object's RGBA layer from its solo video and the background (paper section 3.5, appendix D).

Must not know: how a layer is solved. `fast.py` and `reference/` do it; this reads the request and writes the result.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from services import frames
from services.arrays import Content
from services.compositing import over, psnr_of_error
from services.errors import BadOption
from services.omnimatte import fast
from services.omnimatte.attempt import Attempt
from services.omnimatte.fitting import AlphaModel
from services.omnimatte.layer import Layer, each
from services.omnimatte.reference import layer as reference
from services.omnimatte.source import Source
from services.omnimatte.unet import WEIGHTS, AlphaUNet, load
from services.stage import Params, Stage, Work
from services.weights import file_digest

Array = NDArray[np.float32]

Schedule = fast.Schedule | reference.Schedule

SCHEDULES: Mapping[str, Schedule] = {
    "draft": fast.DRAFT,
    "fast": fast.FAST,
    "reference": reference.REFERENCE,
}


class Omnimatte(Stage):
    """(solo, background, mask) -> straight colour and alpha of one object at working resolution."""

    name: ClassVar[str] = "omnimatte"
    version: ClassVar[int] = 3

    def __init__(self, schedules: Mapping[str, Schedule] = SCHEDULES, weights: Path | None = WEIGHTS) -> None:
        """schedules: what a request may choose from, by name. weights: where the fast schedules start; None: at the
        closed-form guess."""
        self._schedules, self._path = schedules, weights
        self._start: AlphaUNet | None = None

    def weights(self, params: Params) -> str:
        return file_digest(self._path) if self._path else ""

    def load(self, params: Params) -> None:
        if self._start is None:
            self._start = load(self._path)

    def run(self, work: Work) -> Params:
        """Writes `alpha` [T, h, w, 1] and `rgb` [T, h, w, 3], float16 0..1, straight.

        Raises BadOption for an unknown label or schedule, or inputs of different lengths.
        """
        name = work.params.get("schedule", "fast")
        if name not in self._schedules:
            known = " or ".join(map(repr, self._schedules))
            raise BadOption(f"there is no schedule {name!r}; choose {known}.", field="schedule")
        schedule, source = self._schedules[name], Source(work)
        attempt = Attempt(work, total=2 * source.length + schedule.steps, every=schedule.saved_every)
        error = _write(work, source, self._solved(source, schedule, attempt, work.params), attempt)
        return {
            "frames": source.length,
            "height": source.height,
            "width": source.width,
            "iterations": schedule.steps,
            "residual_db": round(psnr_of_error(error, peak=1.0), 3),
        }

    def _solved(self, source: Source, schedule: Schedule, attempt: Attempt, params: Params) -> Layer:
        seed = int(params.get("seed", 0))
        if isinstance(schedule, reference.Schedule):
            return reference.solve(source, schedule, attempt, seed=seed)
        assert self._start is not None
        return fast.solve(source, schedule, attempt, AlphaModel(self._start, seed=seed))


def _write(work: Work, source: Source, layer: Layer, attempt: Attempt) -> float:
    """Finish every frame; returns the mean squared error of the layer over the background against the solo video."""
    shape = (source.length, source.height, source.width)
    rgb_out = work.draft.array("rgb", shape=(*shape, 3), dtype="float16")
    alpha_out = work.draft.array(
        "alpha", shape=(*shape, 1), dtype="float16", chunk=rgb_out.chunks[0], content=Content.COVERAGE
    )
    squared = 0.0
    for start, stop in frames.chunk_ranges(rgb_out):
        rgb = np.empty((stop - start, *shape[1:], 3), np.float16)
        alpha = np.empty((stop - start, *shape[1:], 1), np.float16)
        for i, view in enumerate(each(source.working(start, stop))):
            found, colour = layer.frame(start + i, view)
            rgb[i], alpha[i] = colour, found[..., None]
            solo, background = view[:2]
            recomposed = over(rgb[i].astype(np.float32), alpha[i].astype(np.float32), background)
            squared += float(np.mean((recomposed - solo) ** 2, dtype=np.float64))
            attempt.advance("layer")
        rgb_out[start:stop] = rgb
        alpha_out[start:stop] = alpha
    return float(squared / source.length)
