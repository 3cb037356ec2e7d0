"""The noise schedule and the sampling steps of compact Casper: small pure functions.

Variance-preserving cosine schedule: x_t = cos(t pi/2) x0 + sin(t pi/2) noise, t in 0 (clean) .. 1 (noise). The network
predicts x0, so a deterministic (DDIM) step needs only that.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def timesteps(steps: int) -> list[float]:
    """`steps` + 1 noise levels from 1 down to 0."""
    return [1 - i / steps for i in range(steps + 1)]


def add_noise(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t for noise levels t [B], broadcast over the other axes."""
    angle = (t * (math.pi / 2)).reshape(-1, *[1] * (clean.ndim - 1))
    return torch.cos(angle) * clean + torch.sin(angle) * noise


def ddim_step(noisy: Tensor, clean: Tensor, *, t: float, following: float) -> Tensor:
    """x at level `following` out of x at level `t` and the predicted clean video (eta 0)."""
    angle, after = t * math.pi / 2, following * math.pi / 2
    noise = (noisy - math.cos(angle) * clean) / math.sin(angle)
    return math.cos(after) * clean + math.sin(after) * noise
