"""How compact Casper is trained."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from services.casper.network import CompactCasper, stack_conditions
from services.casper.schedule import add_noise
from training.data import mix
from training.data.casper import CasperSamples
from training.recipe import Batch, Recipe, Schedule, Sources

# Most batches show one frame of many clips, because variety teaches effects; every fourth shows longer windows.
_SHORT, _LONG = (24, 1), (4, 6)
# Share of training at pure noise.
_PURE = 0.85


def _casper_batches(seed: int, *, scenes: Path | None) -> Iterator[Batch]:
    short, long = (_casper_stream(seed, clips=clips, frames=frames, scenes=scenes) for clips, frames in (_SHORT, _LONG))
    while True:
        yield from (next(short), next(short), next(short), next(long))


def _casper_stream(seed: int, *, clips: int, frames: int, scenes: Path | None) -> Iterator[Batch]:
    folders = mix.folders(scenes)
    # Making a scene takes longer than a step; with other crops and other trimasks it serves many batches.
    samples = CasperSamples(split="train", seed=seed, frames=frames, height=96, width=128, reuse=25, folders=folders)
    return iter(DataLoader(samples, batch_size=clips, num_workers=1, prefetch_factor=4))


def casper_loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """Predict the clean target from noise; what must change counts most, what must not change still counts."""
    target = batch["target"] * 2 - 1
    size = target.shape[0]
    device = target.device
    noise = torch.randn(target.shape, generator=generator, device=device)
    t = torch.rand(size, generator=generator, device=device)
    # Sampling starts from pure noise and takes few steps, one if the caller does not say: the first level matters most.
    t = torch.where(torch.rand(size, generator=generator, device=device) < _PURE, torch.ones_like(t), t)
    conditions = stack_conditions(batch["video"], batch["trimask"], batch["plate"], batch["seen"])
    assert isinstance(network, CompactCasper)
    clean, shares = network.explain(add_noise(target, noise, t), conditions, t)
    error = clean - target
    # Effects lie where the trimask is unsure: fewer pixels than the objects, and the harder half of the task.
    effects = batch["changed"] * (batch["trimask"] == 0.5)
    weight = 0.3 + 2.0 * batch["changed"] + 3.0 * effects
    # Whether a pixel is a copy of the input is known, and teaches sooner than the colours do where effects lie.
    copied = shares[:, :1].float().clamp(1e-4, 1 - 1e-4)
    copying = F.binary_cross_entropy(copied, 1 - batch["changed"], weight=0.3 + batch["changed"] + effects)
    return torch.mean(weight * (error.abs() + error.square())) + 0.1 * copying


def compact_casper(sources: Sources) -> Recipe:
    """Object-Paste made on the way, mixed with the scene files of `sources` if there are any."""
    batches = partial(_casper_batches, scenes=sources.scenes)
    return Recipe(build=CompactCasper, batches=batches, loss=casper_loss, schedule=Schedule(cooldown=0.6))
