"""The omnimatte solver's network as it is before it has seen a clip: alpha in one pass.

The paper fits it from scratch, 40,000 iterations for every object (section 3.5, appendix D).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from services.omnimatte.unet import AlphaUNet, inexact
from training.data.omnimatte import LayerSamples
from training.recipe import Batch, Optimiser, Recipe, Schedule, Sources

_FAINT = 0.3
"""Most of what effects are made of has less alpha than this; an error there shows as much as a larger one elsewhere."""


def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """L1 and L2 on alpha, and L1 on its differences from pixel to pixel."""
    error = network(batch["solo"], batch["background"], batch["guess"], batch["own"]) - inexact(batch["alpha"])
    effect = ((batch["alpha"] > 0.02) & (batch["own"] < 0.5)).float()
    weight = 1 + 2 * effect + effect * (batch["alpha"] < _FAINT).float()
    rows, columns = error[:, :, 1:] - error[:, :, :-1], error[..., 1:] - error[..., :-1]
    return torch.mean(weight * (error.abs() + error.square())) + 0.25 * (rows.abs().mean() + columns.abs().mean())


def _batches(seed: int) -> Iterator[Batch]:
    return iter(DataLoader(LayerSamples(split="train", seed=seed), batch_size=16, num_workers=1, prefetch_factor=6))


def compact_omnimatte(sources: Sources) -> Recipe:
    """Samples are made on the way; nothing of `sources` is needed."""
    return Recipe(
        build=AlphaUNet,
        batches=_batches,
        loss=loss,
        optimiser=Optimiser(lr=2e-3),
        schedule=Schedule(warmup=50, cooldown=0.5),
        ema=0.995,
    )
