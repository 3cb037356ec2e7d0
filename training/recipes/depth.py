"""Compact depth: the network and its recipe (paper appendix D).

A small U-Net over one frame at base resolution. Its last level sees the whole frame at once, because where the horizon
lies is a question about the whole frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from services.depth import guide
from training.data.depth import DepthSamples
from training.recipe import Batch, Optimiser, Recipe, Schedule, Sources

GUIDE_CHANNELS = guide.CHANNELS
MULTIPLE = guide.MULTIPLE
_MARGIN = 0.04


class Block(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inside, outside, 3, padding=1)
        self.second = nn.Conv2d(outside, outside, 3, padding=1)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(torch.add(self.skip(x), self.second(F.relu(self.first(x)))))


class CompactDepth(nn.Module):
    """[B, 6, H, W] (services/depth/guide.py; H and W multiples of 16) -> depth [B, 1, H, W], 0 far .. 1 near."""

    def __init__(self, levels: tuple[int, int, int, int] = (24, 40, 64, 80)) -> None:
        super().__init__()
        a, b, c, d = levels
        self.stem = nn.Conv2d(4 * GUIDE_CHANNELS, a, 3, padding=1)
        self.to_b, self.to_c, self.to_d = (nn.Conv2d(i, o, 2, stride=2) for i, o in ((a, b), (b, c), (c, d)))
        self.down_b, self.down_c, self.down_d = Block(b, b), Block(c, c), Block(d, d)
        self.whole = nn.Linear(d, d)
        self.up_c, self.up_b, self.up_a = Block(d + c, c), Block(c + b, b), Block(b + a, a)
        self.head = nn.Conv2d(a, 4, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, guides: Tensor) -> Tensor:
        a = F.relu(self.stem(F.pixel_unshuffle(2 * guides - 1, 2)))
        b = self.down_b(self.to_b(a))
        c = self.down_c(self.to_c(b))
        d = self.down_d(self.to_d(c))
        d = d + F.relu(self.whole(d.mean(dim=(2, 3))))[..., None, None]
        c = self.up_c(torch.cat([_double(d), c], dim=1))
        b = self.up_b(torch.cat([_double(c), b], dim=1))
        a = self.up_a(torch.cat([_double(b), a], dim=1))
        learned = F.pixel_shuffle(self.head(a), 2).float()
        # The network starts from the rule "lower is nearer" and learns to correct it.
        return torch.sigmoid(learned + 5 * (guides[:, 5:6] - 0.6))


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """L1, objects first, plus the order of every pair: the object that hides must come out nearer."""
    depth = network(batch["guide"])
    anything = batch["guide"][:, 3:4]
    error = torch.mean((depth - batch["depth"]).abs() * (1 + 2 * anything))
    return error + 0.3 * order_loss(depth, batch["parts"])


def order_loss(depth: Tensor, parts: Tensor) -> Tensor:
    """depth: [B, 1, H, W]; parts: [B, N, H, W] 0 or 1, back to front, empty where there is no object."""
    area = parts.sum(dim=(2, 3))
    mean = (depth * parts).sum(dim=(2, 3)) / area.clamp(min=1)
    back, front = torch.triu_indices(parts.shape[1], parts.shape[1], offset=1)
    both = ((area[:, back] > 0) & (area[:, front] > 0)).float()
    wrong = F.softplus((mean[:, back] - mean[:, front]) / _MARGIN)
    return (wrong * both).sum() / both.sum().clamp(min=1) * 0.25


def _batches(seed: int) -> Iterator[Batch]:
    return iter(DataLoader(DepthSamples(split="train", seed=seed), batch_size=12, num_workers=1, prefetch_factor=6))


def compact_depth(sources: Sources) -> Recipe:
    """Samples are made on the way; nothing of `sources` is needed."""
    return Recipe(
        build=CompactDepth,
        batches=_batches,
        loss=loss,
        optimiser=Optimiser(lr=1.5e-3),
        schedule=Schedule(warmup=50, cooldown=0.4),
        ema=0.995,
    )
