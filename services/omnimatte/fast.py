"""The fast way to a layer, and the default: a learned first alpha, corrected on the clip in a few steps.

Base pass: over the whole clip at base resolution, where the pair is cleanest and the object's effects are told from
noise. Working pass: the same network goes on at working resolution on a few frames, held to what it first saw there
except along edges, then every frame is finished by itself. So the cost of optimising does not grow with the clip's
length, and memory holds the clip at base resolution only.

Must not know: artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from services.omnimatte import colour, evidence, guesses
from services.omnimatte.attempt import Attempt, State
from services.omnimatte.fitting import BASE, WORKING, AlphaModel, Sample, Weights
from services.omnimatte.guesses import BaseGuess
from services.omnimatte.layer import View, each
from services.omnimatte.source import Source, Views

Array = NDArray[np.float32]
Half = NDArray[np.float16]

_TRUST = 1e-3
_PART = 16


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
    saved_every: int = 4

    @property
    def steps(self) -> int:
        return self.base_steps + self.working_steps


FAST = Schedule(base_steps=12, base_batch=3, working_steps=4, working_frames=4)
DRAFT = Schedule(base_steps=4, base_batch=2, working_steps=1, working_frames=1)


class FastLayer:
    """A layer solved in the fast way."""

    def __init__(self, base_alpha: Half, model: AlphaModel) -> None:
        self._base_alpha, self._model = base_alpha, model

    def frame(self, t: int, view: View) -> tuple[Array, Array]:
        guess = guesses.of_frame(view, self._base_alpha[t])
        alpha = self._model.alpha(guess.solo, guess.background, guess.alpha, guess.own)
        alpha = evidence.enough(alpha, guess.solo, guess.background)
        return alpha, colour.uncomposited(guess.solo, guess.background, alpha, prior=guess.expected, trust=_TRUST)


def solve(source: Source, schedule: Schedule, attempt: Attempt, model: AlphaModel) -> FastLayer:
    """Solve the layer of `source`, or go on with what an earlier attempt has left."""
    saved = attempt.saved() or {}
    shape = (source.length, source.base_height, source.base_width)
    guess = guesses.of_clip(_parts(source), shape=shape, on_frame=lambda: attempt.advance("evidence"))
    if "alpha" in saved:
        attempt.advance("base pass", steps=schedule.base_steps)
        model.restore(saved["base"])
        alpha = saved["alpha"].numpy()
    else:
        alpha = _base_pass(guess, schedule, attempt, model, state=saved.get("base"))
    found: State = {"base": model.state(), "alpha": torch.from_numpy(alpha)}
    state = saved.get("working")
    if state is not None:
        attempt.advance("working pass", steps=state["step"])
    model.fit(
        _working_sample(source, alpha, count=schedule.working_frames),
        weights=schedule.working,
        steps=schedule.working_steps,
        batch=1,
        rate=1e-3,
        tolerance=_tolerance(guess),
        state=state,
        on_step=lambda losses, now: attempt.iterated(
            "working pass",
            losses=losses,
            state=lambda: {**found, "working": now()},
            layer=lambda: _shown(replace(guess, alpha=alpha), model),
        ),
    )
    return FastLayer(alpha, model)


def _parts(source: Source) -> Iterator[Views]:
    for start in range(0, source.length, _PART):
        yield source.base(start, min(start + _PART, source.length))


def _tolerance(guess: BaseGuess) -> float:
    """Of differences in colour: the room that the noise of alpha was measured in is a half on average."""
    return 0.5 * guess.noise


def _base_pass(
    guess: BaseGuess, schedule: Schedule, attempt: Attempt, model: AlphaModel, *, state: State | None
) -> Half:
    """Fit `model` to the clip; returns its alpha [T, h, w]."""
    if state is not None:
        attempt.advance("base pass", steps=state["step"])
    sample = Sample(
        solo=guess.solo,
        background=guess.background,
        expected=guess.expected,
        guess=guess.alpha,
        own=guess.own,
        supervised=np.ones((1, 1, 1), np.float16).repeat(len(guess.alpha), axis=0),
    )
    model.fit(
        sample,
        weights=schedule.base,
        steps=schedule.base_steps,
        batch=schedule.base_batch,
        rate=2e-3,
        tolerance=_tolerance(guess),
        state=state,
        on_step=lambda losses, now: attempt.iterated(
            "base pass", losses=losses, state=lambda: {"base": now()}, layer=lambda: _shown(guess, model)
        ),
    )
    return model.alphas(guess.solo, guess.background, guess.alpha, guess.own)


def _shown(guess: BaseGuess, model: AlphaModel) -> tuple[Array, Array]:
    """Alpha and colour of the middle frame as the model has them now, for a preview."""
    t = len(guess.alpha) // 2
    parts = (guess.solo, guess.background, guess.alpha, guess.own, guess.expected)
    solo, background, first, own, prior = (np.asarray(part[t], np.float32) for part in parts)
    alpha = model.alpha(solo, background, first, own)
    return alpha, colour.uncomposited(solo, background, alpha, prior=prior, trust=_TRUST)


def _working_sample(source: Source, base_alpha: Half, *, count: int) -> Sample:
    chosen = np.unique(np.linspace(0, source.length - 1, count).round().astype(int))
    parts = [guesses.of_frame(next(each(source.working(t, t + 1))), base_alpha[t]) for t in chosen]
    radius = max(1.0, source.height / source.base_height)
    bands = np.stack([evidence.edge_band(part.enlarged, radius=radius) for part in parts])
    return Sample(
        solo=np.stack([part.solo for part in parts]),
        background=np.stack([part.background for part in parts]),
        expected=np.stack([part.expected for part in parts]),
        guess=np.stack([part.alpha for part in parts]),
        own=np.stack([part.own for part in parts]),
        supervised=(~bands).astype(np.float32),
    )
