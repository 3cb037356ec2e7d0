"""Guided super-resolution: the network and its recipe (paper section 3.1, appendix D).

The network paints little. It decides, for every pixel, how much of the original's detail (I - L) belongs to what Casper
shows, and how much of the plate's where the original shows an object that goes; it adds a small correction where
nothing can be copied. Detail is scaled by the local change of brightness:
texture under a shadow is fainter than the same texture in the light.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from services.ssr import guide
from training.data.ssr import SsrSamples
from training.recipe import Batch, Optimiser, Recipe, Schedule, Sources

GUIDE_CHANNELS = guide.CHANNELS
MULTIPLE = guide.MULTIPLE

_QUIET, _CERTAIN = 2 / 255, 6 / 255
"""Changes below _QUIET are rounding: there the original is copied as it is; from _CERTAIN on the network decides."""
_LARGEST_GAIN = 4.0
_ALIKE, _APART = 10 / 255, 40 / 255
"""How far plate and Casper may differ: up to _ALIKE the plate's detail counts in full, from _APART on not at all."""


class GuidedUpscaler(nn.Module):
    """[B, 17, H, W] (C, I, L, trimask, P, Q, seen; 0..1; H and W multiples of 4) -> [B, 3, H, W], about 0..1."""

    def __init__(self, wide: int = 32, deep: int = 48) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4 * GUIDE_CHANNELS, wide, 3, padding=1)
        self.down = nn.Conv2d(wide, deep, 3, stride=2, padding=1)
        self.middle = nn.ModuleList([nn.Conv2d(deep, deep, 3, padding=1) for _ in range(3)])
        self.up = nn.Conv2d(wide + deep, wide, 3, padding=1)
        # gates 2, correction 3, for each of the 2x2 pixels
        self.head = nn.Conv2d(wide, 20, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    def forward(self, guides: Tensor) -> Tensor:
        fine = F.relu(self.stem(F.pixel_unshuffle(_told(guides), 2)))
        coarse = F.relu(self.down(fine))
        for layer in self.middle:
            coarse = coarse + F.relu(layer(coarse))
        back = F.interpolate(coarse, scale_factor=2.0, mode="nearest")
        decided = F.pixel_shuffle(self.head(F.relu(self.up(torch.cat([fine, back], dim=1)))), 2).float()
        gate, believed = torch.sigmoid(decided[:, :1] + 1), torch.sigmoid(decided[:, 1:2])
        return compose(guides, gate=gate, believed=believed, correction=0.5 * torch.tanh(decided[:, 2:]))


def _told(guides: Tensor) -> Tensor:
    """The same facts as differences, which are what the decision rests on: C, C - L, allowed detail, trimask,
    C - Q, the plate's detail, seen."""
    c, low, tri = guides[:, 0:3], guides[:, 6:9], guides[:, 9:10]
    original = [c - 0.5, 4 * (c - low), 4 * allowed_detail(guides), 2 * tri - 1]
    return torch.cat([*original, 4 * (c - guides[:, 13:16]), 4 * plate_detail(guides), guides[:, 16:17]], dim=1)


def allowed_detail(guides: Tensor) -> Tensor:
    """I - L, but nothing of a removed object: no gate is ever quite shut, so its detail is not even shown."""
    return (guides[:, 3:6] - guides[:, 6:9]) * (guides[:, 9:10] > 0.25).float()


def plate_detail(guides: Tensor) -> Tensor:
    """P - Q, as far as Casper agrees with the plate nearby and another frame saw it: [B, 3, H, W]."""
    difference = (guides[:, 0:3] - guides[:, 13:16]).abs().amax(dim=1, keepdim=True)
    apart = F.avg_pool2d(difference, 5, stride=1, padding=2, count_include_pad=False)
    agreed = 1 - ((apart - _ALIKE) / (_APART - _ALIKE)).clamp(0, 1)
    return (guides[:, 10:13] - guides[:, 13:16]) * agreed * (4 * guides[:, 16:17]).clamp(0, 1)


def compose(guides: Tensor, *, gate: Tensor, believed: Tensor, correction: Tensor) -> Tensor:
    """The frame from the network's decisions: gate (of the original's detail) and believed (of the plate's)
    [B, 1, H, W] 0..1, correction [B, 3, H, W]."""
    c, i, low, tri = guides[:, 0:3], guides[:, 3:6], guides[:, 6:9], guides[:, 9:10]
    gain = ((c + 0.02) / (low + 0.02)).clamp(1 / _LARGEST_GAIN, _LARGEST_GAIN)
    made = c + gate * gain * allowed_detail(guides) + believed * plate_detail(guides) + correction
    return i + touched(c, low, tri) * (made - i)


def touched(c: Tensor, low: Tensor, tri: Tensor) -> Tensor:
    """Where Casper changed anything nearby, or had to: [B, 1, H, W], 0 (the original is copied) .. 1."""
    change = F.max_pool2d((c - low).abs().amax(dim=1, keepdim=True), 7, stride=1, padding=3)
    change = F.avg_pool2d(change, 3, stride=1, padding=1)
    told = F.max_pool2d((tri < 0.25).float(), 5, stride=1, padding=2)
    return torch.maximum(((change - _QUIET) / (_CERTAIN - _QUIET)).clamp(0, 1), told)


def loss(network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """L1 on pixels and on their differences; what had to change counts most."""
    error = network(batch["guide"]) - batch["truth"]
    weight = 0.3 + 2 * batch["changed"]
    rows = (error[:, :, 1:] - error[:, :, :-1]).abs() * weight[:, :, 1:]
    columns = (error[..., 1:] - error[..., :-1]).abs() * weight[..., 1:]
    return torch.mean(weight * error.abs()) + 0.5 * (rows.mean() + columns.mean())


def _batches(seed: int) -> Iterator[Batch]:
    return iter(DataLoader(SsrSamples(split="train", seed=seed), batch_size=12, num_workers=1, prefetch_factor=6))


def guided_upscaler(sources: Sources) -> Recipe:
    """Samples are made on the way; nothing of `sources` is needed."""
    return Recipe(
        build=GuidedUpscaler,
        batches=_batches,
        loss=loss,
        optimiser=Optimiser(lr=1.5e-3),
        schedule=Schedule(warmup=50, cooldown=0.4),
        ema=0.995,
    )
