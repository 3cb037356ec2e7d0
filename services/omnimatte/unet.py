"""The network that turns a pair of frames into a smooth alpha map (paper section 3.5). It begins with weights that were
trained on many clips, and is fitted to one.

Alpha is a first guess, corrected: alpha = sigmoid(logit(guess) + correction). GroupNorm, because a normalisation that
remembers the statistics of training batches gives other alphas at inference than those that were optimised. Works at
half the frame's resolution and returns to full by pixel shuffle: on a CPU that is four times cheaper, and the finest
edges come in through the skip of the first guess.

Must not know: the losses, the clip.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("compact.safetensors")

_FEATURES = 8
_CERTAIN = 0.01  # The guess is never surer than this, or the network could not change it.
_END = 1.2 * _CERTAIN  # So much from the ends counts as empty, or as opaque.
_WIDTHS = (32, 48, 64, 64)
_STEM = 2
_STRIDE = _STEM * 2 ** (len(_WIDTHS) - 1)


class AlphaUNet(nn.Module):
    """Alpha of frames of any size; with no weights loaded it is the guess."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (_FEATURES * _STEM**2, *_WIDTHS)
        self.down = nn.ModuleList(_block(inputs[i], inputs[i + 1]) for i in range(len(_WIDTHS)))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in pairwise(_WIDTHS))
        self.head = nn.Conv2d(_WIDTHS[0], _STEM**2, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, solo: Tensor, background: Tensor, guess: Tensor, own: Tensor) -> Tensor:
        """Alpha [B, 1, h, w] within 0..1 from frames [B, 3, h, w], first guess and mask coverage [B, 1, h, w]."""
        features = torch.cat([solo - 0.5, 4 * (solo - background), guess, own], dim=1)
        return torch.sigmoid(self._correction(features).float() + torch.logit(guess.clamp(_CERTAIN, 1 - _CERTAIN)))

    def _correction(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        x = F.pixel_unshuffle(_padded(features), _STEM)
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = self.up[level](torch.cat([skips[level], F.interpolate(x, scale_factor=2.0)], dim=1))
        return F.pixel_shuffle(self.head(x), _STEM)[..., :height, :width]


def exact(alpha: Tensor) -> Tensor:
    """The network's alpha, which never reaches 0 or 1, with its ends opened to exactly 0 and 1."""
    return ((alpha - _END) / (1 - 2 * _END)).clamp(0, 1)


def inexact(alpha: Tensor) -> Tensor:
    """The inverse of `exact`: what the network should give for a known alpha."""
    return alpha * (1 - 2 * _END) + _END


def load(path: Path | None) -> AlphaUNet:
    """The network with the weights at `path`; None: one that corrects nothing yet, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AlphaUNet()
    if path is not None:
        network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network


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
