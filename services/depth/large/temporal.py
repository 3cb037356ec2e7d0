"""Video-Depth-Anything's temporal module: each place of the picture looks along time at itself in other frames.

Chen et al., "Video Depth Anything", 2025, section 3.1: group norm, projection, two attentions and a gated feed-forward
layer, each with a skip, projection back. Positions in time are sines and cosines, stored with the weights.
Must not know: where in a network it stands.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

HEADS = 8
GROUPS = 32
FRAMES = 32
"""Most frames at once: as many positions in time have an encoding."""


class TimeAttention(nn.Module):
    """Self-attention along time. x: [places, frames, C]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.out = nn.Linear(channels, channels)
        self.register_buffer("positions", _waves(FRAMES, channels)[None])
        self.positions: Tensor

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.positions[:, : x.shape[1]].to(x.dtype)
        query, key, value = (
            rearrange(part(x), "p t (m c) -> p m t c", m=HEADS) for part in (self.query, self.key, self.value)
        )
        seen = F.scaled_dot_product_attention(query, key, value)
        return self.out(rearrange(seen, "p m t c -> p t (m c)"))


class GatedFeedForward(nn.Module):
    """One half of a fourfold widening gates the other (GEGLU)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.widen = nn.Linear(channels, 8 * channels)
        self.narrow = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.widen(x).chunk(2, dim=-1)
        return self.narrow(value * F.gelu(gate))


class TemporalModule(nn.Module):
    """Adds to features [B * frames, C, h, w] what other frames say. The skip leaves them alone where weights are 0."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, channels, eps=1e-6)
        self.inward = nn.Linear(channels, channels)
        self.attention = nn.ModuleList([TimeAttention(channels) for _ in range(2)])
        self.attention_norm = nn.ModuleList([nn.LayerNorm(channels) for _ in range(2)])
        self.feed_forward = GatedFeedForward(channels)
        self.feed_forward_norm = nn.LayerNorm(channels)
        self.outward = nn.Linear(channels, channels)

    def forward(self, features: Tensor, frames: int) -> Tensor:
        height = features.shape[-2]
        x = self.inward(rearrange(self.norm(features), "(b t) c h w -> (b h w) t c", t=frames))
        for attention, norm in zip(self.attention, self.attention_norm, strict=True):
            x = x + attention(norm(x))
        x = x + self.feed_forward(self.feed_forward_norm(x))
        back = rearrange(self.outward(x), "(b h w) t c -> (b t) c h w", h=height, w=features.shape[-1])
        return features + back


def _waves(frames: int, channels: int) -> Tensor:
    """[frames, channels]: sines in the even channels, cosines in the odd ones, ever slower."""
    pace = torch.exp(torch.arange(0, channels, 2) * (-torch.log(torch.tensor(10000.0)) / channels))
    angles = torch.arange(frames)[:, None] * pace
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
