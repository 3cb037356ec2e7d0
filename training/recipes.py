"""The recipes: one typed object per network."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from services.casper.network import CompactCasper, stack_conditions
from services.casper.schedule import add_noise
from training.casper_data import CasperSamples
from training.depth import compact_depth
from training.ssr import guided_upscaler
from training.trainer import Batch, Recipe


def _casper_batches(seed: int) -> Iterator[Batch]:
    samples = CasperSamples(split="train", seed=seed, frames=6, height=96, width=128)
    return iter(DataLoader(samples, batch_size=4, num_workers=1, prefetch_factor=8))


def casper_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Predict the clean target from noise; what must change counts most, what must not change still counts."""
    target = batch["target"] * 2 - 1
    size = target.shape[0]
    device = target.device
    noise = torch.randn(target.shape, generator=generator, device=device)
    t = torch.rand(size, generator=generator, device=device)
    # Sampling starts from pure noise and takes few steps: the first level matters most.
    t = torch.where(torch.rand(size, generator=generator, device=device) < 0.6, torch.ones_like(t), t)
    conditions = stack_conditions(batch["video"], batch["trimask"], batch["plate"], batch["seen"])
    clean = network(add_noise(target, noise, t), conditions, t)
    error = clean - target
    # Effects lie where the trimask is unsure: fewer pixels than the objects, and the harder half of the task.
    effects = batch["changed"] * (batch["trimask"] == 0.5)
    weight = 0.3 + 2.0 * batch["changed"] + 3.0 * effects
    return torch.mean(weight * (error.abs() + error.square()))


def compact_casper() -> Recipe:
    return Recipe(build=CompactCasper, batches=_casper_batches, loss=casper_loss)


RECIPES: dict[str, Callable[[], Recipe]] = {
    "compact-casper": compact_casper,
    "compact-ssr": guided_upscaler,
    "compact-depth": compact_depth,
}
