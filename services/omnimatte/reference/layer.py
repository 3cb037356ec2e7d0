"""The two passes of the reference schedule over one clip, resumable.

Must not know: artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from services.omnimatte import evidence
from services.omnimatte.attempt import Attempt, State
from services.omnimatte.layer import View
from services.omnimatte.reference.solve import BASE, WORKING, Clip, Optimisation, Pass
from services.omnimatte.source import Source, Views

Array = NDArray[np.float32]
_PART = 16


@dataclass(frozen=True)
class Schedule:
    """The two passes."""

    base: Pass
    working: Pass
    saved_every: int = 200
    copied: bool = False
    """Colour is the solo video's and no variable: what figure 9c of the paper argues against."""

    @property
    def steps(self) -> int:
        return self.base.iterations + self.working.iterations


REFERENCE = Schedule(BASE, WORKING)


class ReferenceLayer:
    """A layer solved by the paper's schedule."""

    def __init__(self, optimisation: Optimisation) -> None:
        self._optimisation = optimisation

    def frame(self, t: int, view: View) -> tuple[Array, Array]:
        return self._optimisation.layer(t)


def solve(source: Source, schedule: Schedule, attempt: Attempt, *, seed: int) -> ReferenceLayer:
    """Solve the layer of `source`, or go on with what an earlier attempt has left."""
    saved = attempt.saved() or {}
    attempt.advance("reading", steps=source.length)
    if "alpha" in saved:
        attempt.advance("base pass", steps=schedule.base.iterations)
        base = saved["alpha"], saved["colour"]
    else:
        base = _based(source, schedule.base, attempt, seed=seed, state=saved.get("base"))
    alpha, colour = (part.numpy() for part in base)
    clip = _enlarged(_clip(source.working, source.length), alpha, None if schedule.copied else colour)
    optimisation = Optimisation(clip, schedule.working, seed=seed)
    found = {"alpha": base[0], "colour": base[1]}
    _run(optimisation, schedule.working, attempt, "working pass", saved.get("working"),
         lambda: {**found, "working": optimisation.state()})  # fmt: skip
    return ReferenceLayer(optimisation)


def _based(
    source: Source, schedule: Pass, attempt: Attempt, *, seed: int, state: State | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Alpha [T, h, w] and colour [T, h, w, 3] at base resolution."""
    optimisation = Optimisation(_clip(source.base, source.length), schedule, seed=seed)
    _run(optimisation, schedule, attempt, "base pass", state, lambda: {"base": optimisation.state()})
    layers = [optimisation.layer(t) for t in range(source.length)]
    alpha, colour = (torch.from_numpy(np.stack(part).astype(np.float16)) for part in zip(*layers, strict=True))
    return alpha, colour


def _run(
    optimisation: Optimisation,
    schedule: Pass,
    attempt: Attempt,
    note: str,
    state: State | None,
    now: Callable[[], State],
) -> None:
    if state is not None:
        optimisation.restore(state)
        attempt.advance(note, steps=optimisation.done)
    while optimisation.done < schedule.iterations:
        losses = optimisation.step()
        attempt.iterated(note, losses=losses, state=now, layer=optimisation.shown)


def _clip(read: Callable[[int, int], Views], length: int) -> Clip:
    """The whole clip in memory, in float16; colour starts as the solo video's."""
    parts = [read(start, min(start + _PART, length)) for start in range(0, length, _PART)]
    solo, background, own = (
        np.concatenate([getattr(part, name).astype(np.float16) for part in parts])
        for name in ("solo", "background", "own")
    )
    return Clip(solo=solo, background=background, mask=own, colour=solo)


def _enlarged(clip: Clip, alpha: NDArray[np.float16], colour: NDArray[np.float16] | None) -> Clip:
    """`clip` with what the base pass found, enlarged bilinearly; along edges, where that is aliased, it is not trusted
    (appendix D). Without `colour` the clip keeps its own."""
    height, width = clip.mask.shape[1:]
    size = (width, height)
    radius = max(1.0, height / alpha.shape[1])
    large = [cv2.resize(a.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) for a in alpha]
    trusted = [~evidence.edge_band(np.asarray(a, np.float32), radius=radius) for a in large]
    return Clip(
        solo=clip.solo,
        background=clip.background,
        mask=clip.mask,
        colour=clip.colour if colour is None else _stacked(cv2.resize(c, size) for c in colour.astype(np.float32)),
        enlarged=_stacked(large),
        trusted=_stacked(trusted),
    )


def _stacked(frames: Iterable[NDArray[Any]]) -> NDArray[np.float16]:
    return np.stack(list(frames)).astype(np.float16)
