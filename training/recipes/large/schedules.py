"""Noise schedules of the large Caspers: what is mixed, what the network has to say, and how to get the clean latent.

Pure functions over latents [B, 16, T', h, w]; a timestep runs from 0 (clean) to 999 or 1000 (noise) as the networks
were trained. Must not know: any network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import diffusers
import torch
from torch import Tensor

from services.casper.cogvideox.model import make_schedule
from services.casper.wan.schedule import SHIFT, TRAIN_TIMESTEPS

# Its classes are only half typed.
_models: Any = diffusers


@dataclass(frozen=True)
class Velocity:
    """CogVideoX: v-prediction on a scaled-linear schedule whose last step is pure noise (zero terminal SNR)."""

    alphas: Tensor

    @staticmethod
    def make() -> Velocity:
        return Velocity(make_schedule().alphas_cumprod)

    def drawn(self, size: int, *, generator: torch.Generator, device: torch.device) -> Tensor:
        """Uniform timesteps [size] for training."""
        return torch.randint(0, len(self.alphas), (size,), generator=generator, device=device)

    def at(self, level: float) -> Tensor:
        """The timestep [1] at noise level 0 (clean) .. 1."""
        return torch.tensor([round(level * (len(self.alphas) - 1))])

    def _scales(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        alpha = self.alphas.to(timestep.device)[timestep][:, None, None, None, None]
        return alpha.sqrt(), (1 - alpha).sqrt()

    def noisy(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        signal, spread = self._scales(timestep)
        return signal * clean + spread * noise

    def answer(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """What the network is to predict."""
        signal, spread = self._scales(timestep)
        return signal * noise - spread * clean

    def clean(self, noisy: Tensor, predicted: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Clean latent and noise out of a prediction."""
        signal, spread = self._scales(timestep)
        return signal * noisy - spread * predicted, signal * predicted + spread * noisy


@dataclass(frozen=True)
class Flow:
    """Wan: rectified flow on a schedule shifted towards noise (shift 5)."""

    sigmas: Tensor

    @staticmethod
    def make() -> Flow:
        scheduler = _models.FlowMatchEulerDiscreteScheduler(num_train_timesteps=TRAIN_TIMESTEPS, shift=SHIFT)
        return Flow(scheduler.sigmas[:TRAIN_TIMESTEPS].float())

    def drawn(self, size: int, *, generator: torch.Generator, device: torch.device) -> Tensor:
        """Timesteps [size] at uniform positions in the shifted schedule, for training."""
        index = torch.randint(0, len(self.sigmas), (size,), generator=generator, device=device)
        return self.sigmas.to(device)[index] * TRAIN_TIMESTEPS

    def at(self, level: float) -> Tensor:
        """The timestep [1] at noise level 0 (clean) .. 1."""
        return torch.tensor([level * TRAIN_TIMESTEPS])

    def noisy(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        sigma = timestep[:, None, None, None, None] / TRAIN_TIMESTEPS
        return (1 - sigma) * clean + sigma * noise

    def answer(self, clean: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """What the network is to predict."""
        return noise - clean

    def clean(self, noisy: Tensor, predicted: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Clean latent and noise out of a prediction."""
        sigma = timestep[:, None, None, None, None] / TRAIN_TIMESTEPS
        return noisy - sigma * predicted, noisy + (1 - sigma) * predicted


def bounded_error(predicted: Tensor, wanted: Tensor, *, limit: float) -> Tensor:
    """Mean squared error in which elements further off than `limit` count as nothing: they come from broken clips."""
    error = predicted.float() - wanted.float()
    return torch.mean(error.square() * (error.abs() <= limit))
