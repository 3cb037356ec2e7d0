"""Wan's denoising loop over a clip of any length and several runs: temporal multidiffusion over latents.

In every step each window is taken one full step and the results are blended (paper section 3.2). The clip's latents
stay in the machine's memory, a window at a time is on the device. All runs start from the same noise, and the noise of
a latent depends only on the seed and on its place, not on the clip's length. Must not know: the VAE, prompts, files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from services.casper.large.windows import WAN, Rule, blended, plan_windows, ramp_weights
from services.casper.wan.conditions import stacked
from services.casper.wan.schedule import euler_step, sigmas, timestep
from services.casper.windows import Window

Predict = Callable[[Tensor, float, Window], Tensor]
"""(stacked input [B, 36, t, h, w], timestep, window) to the predicted noise - x0 [B, 16, t, h, w]."""
OnWindow = Callable[[int, int], None]
"""(done, total) after each window of each step; may raise to stop."""


@dataclass(frozen=True)
class Conditions:
    """mask: [R, 4, T', h, w], one trimask per run. video: [1, 16, T', h, w], the runs' common condition video."""

    mask: Tensor
    video: Tensor


def shared_noise(latents: int, *, height: int, width: int, seed: int) -> Tensor:
    """Standard normal noise [1, 16, latents, height, width], on the CPU, the same wherever it is drawn."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(16, height, width, generator=generator) for _ in range(latents)]
    return torch.stack(drawn, dim=1)[None]


@torch.no_grad()
def denoise(
    predict: Predict,
    conditions: Conditions,
    *,
    noise: Tensor,
    steps: int,
    together: int,
    on_window: OnWindow,
    rule: Rule = WAN,
) -> Tensor:
    """Clean latents [R, 16, T', h, w] of all runs, float32 on the CPU.

    noise: [1, 16, T', h, w]. together: runs in one forward. `predict` puts its input where it computes.
    """
    windows = plan_windows(noise.shape[2], rule)
    groups = torch.split(conditions.mask, together)
    progress = _Progress(len(groups) * steps * len(windows), on_window)
    weights = ramp_weights(windows, overlap=rule.overlap)
    return torch.cat(
        [_Loop(predict, mask, conditions.video, windows, weights, progress).run(noise, steps) for mask in groups]
    )


@dataclass
class _Progress:
    total: int
    report: OnWindow
    done: int = 0

    def __call__(self) -> None:
        self.done += 1
        self.report(self.done, self.total)


@dataclass(frozen=True)
class _Loop:
    """Some runs of a clip, together. mask: [r, 4, T', h, w]; video: [1, 16, T', h, w]; weights as in `blended`."""

    predict: Predict
    mask: Tensor
    video: Tensor
    windows: tuple[Window, ...]
    weights: tuple[Tensor, ...]
    progress: _Progress

    def run(self, noise: Tensor, steps: int) -> Tensor:
        state = noise.float().expand(len(self.mask), -1, -1, -1, -1)
        for sigma, following in pairwise(sigmas(steps)):
            results = self._stepped(state, sigma=sigma, following=following)
            state = blended(self.windows, results, self.weights)
        return state

    def _stepped(self, state: Tensor, *, sigma: float, following: float) -> Iterator[Tensor]:
        """Each window's latents taken from level `sigma` to level `following`."""
        for window in self.windows:
            inside = slice(window.start, window.stop)
            noisy = state[:, :, inside]
            given = stacked(noisy, self.mask[:, :, inside], self.video[:, :, inside])
            velocity = self.predict(given, timestep(sigma), window)
            stepped = euler_step(noisy, velocity.to(noisy.device), sigma=sigma, following=following)
            self.progress()
            yield stepped
