"""The U-Net that earlier omnimatte methods share and the paper takes its alphas from (section 3.5).

Layers as in the released code of that family, half the width of the first of them: 2.6 M parameters. Two things differ,
on purpose. Alpha goes through a sigmoid: without one, a shadow is explained by a negative alpha, which is lost when the
layer is saved. Batch normalisation became group normalisation: with statistics of the last batches, the alphas that are
written are not those that were optimised.

Must not know: the losses, the clip.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 6
_STRIDE = 32


class ReferenceUNet(nn.Module):
    """Alpha [B, 1, h, w] in 0..1 from (I, |I - I_bg|), [B, 6, h, w] in 0..1, of any size."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        f = width
        down = [(FEATURES, f), (f, 2 * f), (2 * f, 4 * f), (4 * f, 4 * f), (4 * f, 4 * f)]
        self.down = nn.ModuleList(
            _Layer(nn.Conv2d(a, b, 4, 2, padding=1), norm=bool(i), slope=0.2 if i else 0.0)
            for i, (a, b) in enumerate(down)
        )
        # An even kernel over doubled gaps has no centre: three on each side keeps the size.
        self.middle = nn.Sequential(
            *(_Layer(nn.Conv2d(4 * f, 4 * f, 4, dilation=2, padding=3), norm=True, slope=0.2) for _ in range(2))
        )
        up = [(8 * f, 4 * f), (8 * f, 4 * f), (8 * f, 2 * f), (4 * f, f), (2 * f, f)]
        self.up = nn.ModuleList(_Layer(nn.ConvTranspose2d(a, b, 4, 2, padding=1), norm=True, slope=0.0) for a, b in up)
        self.head = nn.Conv2d(f, 1, 4)

    def forward(self, features: Tensor) -> Tensor:
        height, width = features.shape[-2:]
        x = F.pad(features, (0, -width % _STRIDE, 0, -height % _STRIDE), mode="replicate")
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = self.middle(x)
        for layer in self.up:
            x = layer(torch.cat([x, skips.pop()], dim=1))
        logits: Tensor = self.head(F.pad(x, (1, 2, 1, 2), mode="replicate"))
        return torch.sigmoid(logits[..., :height, :width])


class _Layer(nn.Module):
    """Convolution, normalisation, (leaky) ReLU."""

    def __init__(self, convolution: nn.Module, *, norm: bool, slope: float) -> None:
        super().__init__()
        channels = int(convolution.out_channels)  # type: ignore[arg-type]
        self.convolution = convolution
        self.norm = nn.GroupNorm(8, channels) if norm else nn.Identity()
        self._slope = slope

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.convolution(x)), self._slope)
