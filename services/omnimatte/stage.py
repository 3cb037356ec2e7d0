"""The `omnimatte` stage: an object's RGBA layer from its solo video and the background (paper section 3.5, appendix D).

Base pass: over the whole clip at base resolution, where the pair is cleanest and the object's effects are told from
noise. Working pass: the same network goes on at working resolution on a few frames, held to the enlarged base alpha
except along its edges, then every frame is finished by itself. So the cost of optimising does not grow with the clip's
length, and memory holds the clip at base resolution only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from services import frames
from services.compositing import over, psnr_of_error
from services.errors import BadOption
from services.omnimatte import colour, evidence
from services.omnimatte.fitting import BASE, WORKING, AlphaModel, Sample
from services.omnimatte.source import Source, Views
from services.stage import Params, Stage, Work

Array = NDArray[np.float32]
Half = NDArray[np.float16]

_EDGE = 1.5  # half width in base pixels of the band along a mask's edge that the mask does not decide
_BLUR = 1.0  # base pixels; the grain of a pair is finer, its shadows are coarser
_TRUST = 5e-3


@dataclass(frozen=True)
class Schedule:
    """How much is optimised; the same for clips of any length. A step of the working pass sees one frame."""

    base_steps: int
    base_batch: int
    working_steps: int
    working_frames: int
    """Frames, spread over the clip, that the working pass learns from."""


SCHEDULES = {
    "draft": Schedule(base_steps=12, base_batch=2, working_steps=4, working_frames=2),
    "fast": Schedule(base_steps=40, base_batch=3, working_steps=16, working_frames=8),
}


class Omnimatte(Stage):
    """(solo, background, mask) -> straight colour and alpha of one object at working resolution."""

    name: ClassVar[str] = "omnimatte"
    version: ClassVar[int] = 1

    def run(self, work: Work) -> Params:
        """Writes `alpha` [T, h, w, 1] and `rgb` [T, h, w, 3], float16 0..1, straight.

        Raises BadOption for an unknown label or schedule, or inputs of different lengths.
        """
        schedule = _schedule(work.params)
        source = Source(work)
        steps = schedule.base_steps + schedule.working_steps
        done, total = 0, 2 * source.length + steps

        def advance(note: str) -> None:
            nonlocal done
            work.check()
            done += 1
            work.progress(min(done, total), total, note)

        model = AlphaModel(seed=int(work.params.get("seed", 0)))
        base = _Base(source, on_frame=lambda: advance("evidence"))
        base.fit(model, schedule, on_step=lambda: advance("base pass"))
        sample = _working_sample(source, base, count=schedule.working_frames)
        model.fit(
            sample,
            weights=WORKING,
            steps=schedule.working_steps,
            batch=1,
            rate=1e-3,
            tolerance=base.tolerance,
            on_step=lambda: advance("working pass"),
        )
        error = _write(work, source, base, model, on_frame=lambda: advance("layer"))
        return {
            "frames": source.length,
            "height": source.height,
            "width": source.width,
            "iterations": steps,
            "residual_db": round(psnr_of_error(error, peak=1.0), 3),
        }


class _Base:
    """The clip at base resolution: evidence, first guess, and after `fit` its alpha [T, h, w]."""

    def __init__(self, source: Source, *, on_frame: Callable[[], None]) -> None:
        shape = (source.length, source.base_height, source.base_width)
        self.solo, self.background, self.expected = (np.empty((*shape, 3), np.float16) for _ in range(3))
        self.alpha, self.own = np.empty(shape, np.float16), np.empty(shape, np.float16)
        others, least = np.empty(shape, np.float16), np.empty(shape, np.float16)
        samples = []
        for start in range(0, source.length, 16):
            views = source.base(start, min(start + 16, source.length))
            for t, view in enumerate(_frames(views), start):
                on_frame()
                solo, background, own, other = view
                self.solo[t], self.background[t], self.own[t], others[t] = view
                quiet = evidence.away(own, other)
                level = evidence.matched(solo, background, quiet)
                least[t] = evidence.least_alpha(solo, level, own, blur=_BLUR)
                samples.append(least[t][quiet][::7])
        self.noise = evidence.noise_floor(np.concatenate(samples).astype(np.float32))
        self.tolerance = 0.5 * self.noise  # in colour: the room that alpha was measured in is a half on average
        regions = np.stack(
            [
                evidence.effects(*_floats(one, own, other), noise=self.noise)
                for one, own, other in zip(least, self.own, others, strict=True)
            ]
        )
        regions = evidence.steady(regions)
        for t, region in enumerate(regions):
            views_t = _floats(self.solo[t], self.background[t], self.own[t], least[t] * region)
            self.alpha[t], self.expected[t] = evidence.guess(*views_t, edge=_EDGE)

    def fit(self, model: AlphaModel, schedule: Schedule, *, on_step: Callable[[], None]) -> None:
        """Optimise the model on the clip and replace the guess by its alpha."""
        sample = Sample(
            solo=self.solo,
            background=self.background,
            expected=self.expected,
            guess=self.alpha,
            own=self.own,
            supervised=np.ones((1, 1, 1), np.float16).repeat(len(self.alpha), axis=0),
        )
        model.fit(
            sample,
            weights=BASE,
            steps=schedule.base_steps,
            batch=schedule.base_batch,
            rate=2e-3,
            tolerance=self.tolerance,
            on_step=on_step,
        )
        for t in range(len(self.alpha)):
            part = slice(t, t + 1)
            self.alpha[part] = model.alpha(self.solo[part], self.background[part], self.alpha[part])


@dataclass(frozen=True)
class _Frame:
    """One frame at working resolution, ready for the network. Maps [h, w], frames [h, w, 3], float32."""

    solo: Array
    background: Array
    own: Array
    guess: Array
    expected: Array
    enlarged: Array


def _working_frame(view: tuple[Array, Array, Array, Array], base_alpha: Half) -> _Frame:
    solo, background, own, others = view
    height, width = own.shape
    scale = max(1.0, height / base_alpha.shape[0])
    enlarged = cv2.resize(base_alpha.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    # Along the object's edge the enlarged alpha is the object's own, smeared: no more of it is an effect than shows.
    level = evidence.matched(solo, background, evidence.away(own, others))
    least = evidence.least_alpha(solo, level, own, blur=_BLUR)
    seam = evidence.grown(own > 0.02, 2 * _EDGE * scale)
    effect = np.where(seam, np.minimum(enlarged, least), enlarged)
    guess, expected = evidence.guess(solo, background, own, effect, edge=_EDGE * scale * 0.75)
    return _Frame(solo, background, own, guess, expected, np.asarray(enlarged, np.float32))


def _working_sample(source: Source, base: _Base, *, count: int) -> Sample:
    chosen = np.unique(np.linspace(0, source.length - 1, count).round().astype(int))
    parts: list[_Frame] = []
    for t in chosen:
        view = next(_frames(source.working(t, t + 1)))
        parts.append(_working_frame(view, base.alpha[t]))
    radius = max(1.0, source.height / source.base_height)
    bands = np.stack([evidence.edge_band(part.enlarged, radius=radius) for part in parts])
    return Sample(
        solo=np.stack([part.solo for part in parts]),
        background=np.stack([part.background for part in parts]),
        expected=np.stack([part.expected for part in parts]),
        guess=np.stack([part.guess for part in parts]),
        own=np.stack([part.own for part in parts]),
        supervised=(~bands).astype(np.float32),
    )


def _write(work: Work, source: Source, base: _Base, model: AlphaModel, *, on_frame: Callable[[], None]) -> float:
    """Finish every frame; returns the mean squared error of the layer over the background against the solo video."""
    shape = (source.length, source.height, source.width)
    rgb_out = work.draft.array("rgb", shape=(*shape, 3), dtype="float16")
    alpha_out = work.draft.array("alpha", shape=(*shape, 1), dtype="float16", chunk=rgb_out.chunks[0])
    squared = 0.0
    for start, stop in frames.chunk_ranges(rgb_out):
        rgb = np.empty((stop - start, *shape[1:], 3), np.float16)
        alpha = np.empty((stop - start, *shape[1:], 1), np.float16)
        for i, view in enumerate(_frames(source.working(start, stop))):
            on_frame()
            frame = _working_frame(view, base.alpha[start + i])
            found = model.alpha(frame.solo[None], frame.background[None], frame.guess[None])[0]
            rgb[i] = colour.uncomposited(frame.solo, frame.background, found, prior=frame.expected, trust=_TRUST)
            alpha[i] = found[..., None]
            recomposed = over(rgb[i].astype(np.float32), alpha[i].astype(np.float32), frame.background)
            squared += float(np.mean((recomposed - frame.solo) ** 2, dtype=np.float64))
        rgb_out[start:stop] = rgb
        alpha_out[start:stop] = alpha
    return float(squared / source.length)


def _frames(views: Views) -> Iterator[tuple[Array, Array, Array, Array]]:
    return zip(views.solo, views.background, views.own, views.others, strict=True)


def _floats(*arrays: NDArray[np.floating]) -> tuple[Array, ...]:
    return tuple(a.astype(np.float32) for a in arrays)


def _schedule(params: Params) -> Schedule:
    name = params.get("schedule", "fast")
    if name not in SCHEDULES:
        raise BadOption(f"there is no schedule {name!r}; choose {' or '.join(map(repr, SCHEDULES))}.", field="schedule")
    return SCHEDULES[name]
