"""Wan's noise schedule and its Euler step, as pure functions.

Rectified flow: x_sigma = (1 - sigma) x0 + sigma noise, the network predicts noise - x0. Levels are shifted towards
noise by sigma -> s sigma / (1 + (s - 1) sigma), and that twice: the scheduler that the checkpoints were published with
spreads its steps between limits that are already shifted, and then shifts once more. So 50 steps end in the timesteps
192.8, 114.8, 24.4 where a single shift would give 241.9, 172.4, 92.6.

The step takes both of its levels as arguments. A scheduler object counts its calls, and would count a clip's windows as
steps. Must not know: windows, networks.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

SHIFT = 5.0
TRAIN_TIMESTEPS = 1000


def sigmas(steps: int, *, shift: float = SHIFT) -> tuple[float, ...]:
    """`steps` + 1 noise levels, from 1 (noise) down to 0 (clean)."""
    first, last = _shifted(1.0, shift), _shifted(1 / TRAIN_TIMESTEPS, shift)
    levels = [_shifted(float(level), shift) for level in np.linspace(first, last, steps)]
    return (*levels, 0.0)


def timestep(sigma: float) -> float:
    """What the network is told about a noise level: 0..1000."""
    return sigma * TRAIN_TIMESTEPS


def euler_step(noisy: Tensor, velocity: Tensor, *, sigma: float, following: float) -> Tensor:
    """x at level `following` out of x at level `sigma` and the predicted noise - x0, in float32."""
    return noisy.float() + (following - sigma) * velocity.float()


def _shifted(sigma: float, shift: float) -> float:
    return shift * sigma / (1 + (shift - 1) * sigma)
