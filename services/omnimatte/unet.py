"""The network that turns a pair of frames into a smooth alpha map (paper section 3.5); fitted to one clip, never saved.

GroupNorm, because a normalisation that remembers the statistics of training batches gives other alphas at inference
than those that were optimised. Works at half the frame's resolution and returns to full by pixel shuffle: on a CPU
that is four times cheaper, and the finest edges come in through the skip of the first guess.

Must not know: the losses, the clip.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTHS = (32, 48, 64, 64)
_STEM = 2
_STRIDE = _STEM * 2 ** (len(_WIDTHS) - 1)


class AlphaUNet(nn.Module):
    """Logits of alpha, [B, 1, h, w], from `features` channels [B, C, h, w] of any size; starts at zero everywhere."""

    def __init__(self, features: int) -> None:
        super().__init__()
        inputs = (features * _STEM**2, *_WIDTHS)
        self.down = nn.ModuleList(_block(inputs[i], inputs[i + 1]) for i in range(len(_WIDTHS)))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(_WIDTHS))
        self.head = nn.Conv2d(_WIDTHS[0], _STEM**2, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        x = F.pixel_unshuffle(_padded(features), _STEM)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([skips[level], F.interpolate(x, scale_factor=2.0)], dim=1))
        return F.pixel_shuffle(self.head(x), _STEM)[..., :height, :width]


def _padded(features: Tensor) -> Tensor:
    height, width = features.shape[-2:]
    return F.pad(features, (0, -width % _STRIDE, 0, -height % _STRIDE), mode="replicate")


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.GroupNorm(8, outputs),
        nn.LeakyReLU(0.2),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.GroupNorm(8, outputs),
        nn.LeakyReLU(0.2),
    )
