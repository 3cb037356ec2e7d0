"""Wan's denoising loop over a clip of any length, several runs at once: temporal multidiffusion over latents.

In every step each window is taken one full step and the results are blended (paper section 3.2). The clip's latents
stay in the machine's memory in float32, a window at a time is on the device. All runs start from the same noise, and
the noise of a latent depends only on the seed and on its place, not on the clip's length. Must not know: the VAE,
prompts, files.
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

Predict = Callable[[Tensor, float, int], Tensor]
"""(input [B, 36, t, h, w], timestep, number of the window) to the predicted noise - x0 [B, 16, t, h, w]."""
OnWindow = Callable[[int, int], None]
"""(done, total) after each window of each step; may raise to stop."""


@dataclass(frozen=True)
class Told:
    """What a group of runs is told, on the CPU. noise and video: [1, 16, T', h, w]; masks: [runs, 4, T', h, w]."""

    noise: Tensor
    masks: Tensor
    video: Tensor


def shared_noise(latents: int, *, height: int, width: int, seed: int) -> Tensor:
    """Standard normal noise [1, 16, latents, height, width] (in latents), drawn on the CPU: the same everywhere."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(16, height, width, generator=generator) for _ in range(latents)]
    return torch.stack(drawn, dim=1)[None]


@torch.no_grad()
def denoise(predict: Predict, told: Told, *, steps: int, on_window: OnWindow, rule: Rule = WAN) -> Tensor:
    """Clean latents [runs, 16, T', h, w], float32 on the CPU. `predict` puts what it is given where it computes."""
    windows = plan_windows(told.noise.shape[2], rule)
    weights = ramp_weights(windows, overlap=rule.overlap)
    state = told.noise.float().expand(len(told.masks), -1, -1, -1, -1)
    for step, (sigma, following) in enumerate(pairwise(sigmas(steps))):
        results = _stepped(predict, told, state, windows, sigma=sigma, following=following)
        counted = _counted(results, on_window, before=step * len(windows), total=steps * len(windows))
        state = blended(windows, counted, weights)
    return state


def _stepped(
    predict: Predict, told: Told, state: Tensor, windows: tuple[Window, ...], *, sigma: float, following: float
) -> Iterator[Tensor]:
    """Each window's latents taken from level `sigma` to level `following`."""
    for number, window in enumerate(windows):
        inside = slice(window.start, window.stop)
        noisy = state[:, :, inside]
        given = stacked(noisy, told.masks[:, :, inside], told.video[:, :, inside])
        velocity = predict(given, timestep(sigma), number).to(noisy.device)
        yield euler_step(noisy, velocity, sigma=sigma, following=following)


def _counted(results: Iterator[Tensor], on_window: OnWindow, *, before: int, total: int) -> Iterator[Tensor]:
    for done, result in enumerate(results, start=before + 1):
        on_window(done, total)
        yield result
