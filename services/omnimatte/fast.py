"""The fast way to a layer, and the default: a closed-form guess, corrected by a small network in a few dozen steps.

Base pass: over the whole clip at base resolution, where the pair is cleanest and the object's effects are told from
noise. Working pass: the same network goes on at working resolution on a few frames, held to the enlarged base alpha
except along its edges, then every frame is finished by itself. So the cost of optimising does not grow with the clip's
length, and memory holds the clip at base resolution only.

Must not know: artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from services.omnimatte import colour, evidence
from services.omnimatte.attempt import Attempt, State
from services.omnimatte.fitting import BASE, WORKING, AlphaModel, Sample, Weights
from services.omnimatte.layer import View, each
from services.omnimatte.source import Source

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
    base: Weights = BASE
    working: Weights = WORKING
    saved_every: int = 10

    @property
    def steps(self) -> int:
        return self.base_steps + self.working_steps


FAST = Schedule(base_steps=40, base_batch=3, working_steps=16, working_frames=8)
DRAFT = Schedule(base_steps=12, base_batch=2, working_steps=4, working_frames=2)


class FastLayer:
    """A layer solved in the fast way."""

    def __init__(self, base: _Base, model: AlphaModel) -> None:
        self._base, self._model = base, model

    def frame(self, t: int, view: View) -> tuple[Array, Array]:
        frame = _working_frame(view, self._base.alpha[t])
        found = self._model.alpha(frame.solo[None], frame.background[None], frame.guess[None])[0]
        return found, colour.uncomposited(frame.solo, frame.background, found, prior=frame.expected, trust=_TRUST)


def solve(source: Source, schedule: Schedule, attempt: Attempt, *, seed: int) -> FastLayer:
    """Solve the layer of `source`, or go on with what an earlier attempt has left."""
    saved = attempt.saved() or {}
    model = AlphaModel(seed=seed)
    base = _Base(source, on_frame=lambda: attempt.advance("evidence"))
    if "alpha" in saved:
        attempt.advance("base pass", steps=schedule.base_steps)
        model.restore(saved["base"])
        base.alpha = saved["alpha"].numpy()
    else:
        base.fit(model, schedule, attempt, state=saved.get("base"))
    found = {"base": model.state(), "alpha": torch.from_numpy(base.alpha)}
    state = saved.get("working")
    if state is not None:
        attempt.advance("working pass", steps=state["step"])
    model.fit(
        _working_sample(source, base, count=schedule.working_frames),
        weights=schedule.working,
        steps=schedule.working_steps,
        batch=1,
        rate=1e-3,
        tolerance=base.tolerance,
        state=state,
        on_step=lambda losses, now: attempt.iterated(
            "working pass", losses=losses, state=lambda: {**found, "working": now()}, layer=lambda: base.shown(model)
        ),
    )
    return FastLayer(base, model)


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
            for t, view in enumerate(each(views), start):
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

    def fit(self, model: AlphaModel, schedule: Schedule, attempt: Attempt, *, state: State | None) -> None:
        """Optimise the model on the clip and replace the guess by its alpha."""
        if state is not None:
            attempt.advance("base pass", steps=state["step"])
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
            weights=schedule.base,
            steps=schedule.base_steps,
            batch=schedule.base_batch,
            rate=2e-3,
            tolerance=self.tolerance,
            state=state,
            on_step=lambda losses, now: attempt.iterated(
                "base pass", losses=losses, state=lambda: {"base": now()}, layer=lambda: self.shown(model)
            ),
        )
        for t in range(len(self.alpha)):
            part = slice(t, t + 1)
            self.alpha[part] = model.alpha(self.solo[part], self.background[part], self.alpha[part])

    def shown(self, model: AlphaModel) -> tuple[Array, Array]:
        """Alpha and colour of the middle frame as the model has them now, for a preview."""
        middle = slice(len(self.alpha) // 2, len(self.alpha) // 2 + 1)
        alpha = model.alpha(self.solo[middle], self.background[middle], self.alpha[middle])[0]
        solo, background, prior = _floats(*(part[middle][0] for part in (self.solo, self.background, self.expected)))
        return alpha, colour.uncomposited(solo, background, alpha, prior=prior, trust=_TRUST)


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
        view = next(each(source.working(t, t + 1)))
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


def _floats(*arrays: NDArray[np.floating]) -> tuple[Array, ...]:
    return tuple(a.astype(np.float32) for a in arrays)
