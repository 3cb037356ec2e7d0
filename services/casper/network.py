"""Compact Casper: a small space-time U-Net that predicts the clean video out of noise and conditions.

Pixel space at the paper's base resolution (section 3.1: short side 128), the paper's conditions (unmasked video and
trimask, section 3.2) plus the plate of `plate.py`. The network says for every pixel how much of the answer is the
input, the plate, its own paint, or the input under other light: copying is then exact, lifting a shadow keeps the
ground's texture, and capacity goes to what is new.

Tensors are [B, C, T, H, W], H and W multiples of 16, values in [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

# noisy 3, video 3, trimask 1, plate 3, seen 1
CONDITION_CHANNELS = 8


@dataclass(frozen=True)
class Widths:
    """Channels per level: half, quarter, eighth and sixteenth of the resolution."""

    levels: tuple[int, int, int, int] = (48, 96, 160, 192)
    time: int = 128


class Block(nn.Module):
    """Spatial convolution, mixing over three frames, spatial convolution; the noise level scales and shifts between."""

    def __init__(self, inside: int, outside: int, time: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1)
        self.mix = nn.Conv2d(3 * outside, outside, 1)
        self.level = nn.Linear(time, 2 * outside)
        self.norm2 = nn.GroupNorm(8, outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1)
        self.skip = nn.Conv2d(inside, outside, 1) if inside != outside else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x: Tensor, level: Tensor, frames: int) -> Tensor:
        """x: [(B T), C, H, W]; level: [B, time]."""
        h = self.conv1(F.silu(self.norm1(x)))
        h = h + self.mix(_neighbours(h, frames))
        # Not repeat_interleave, whose export to ONNX fails for more than one clip.
        per_frame = self.level(level)[:, None].expand(-1, frames, -1).flatten(0, 1)
        scale, shift = per_frame[..., None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return torch.add(self.skip(x), h)


def _neighbours(x: Tensor, frames: int) -> Tensor:
    """Each frame beside the one before and the one after (the ends repeat themselves): [(B T), 3C, H, W]."""
    video = x.reshape(-1, frames, *x.shape[1:])
    before = torch.cat([video[:, :1], video[:, :-1]], dim=1).flatten(0, 1)
    after = torch.cat([video[:, 1:], video[:, -1:]], dim=1).flatten(0, 1)
    return torch.cat([before, x, after], dim=1)


class Attention(nn.Module):
    """Positions look at each other: how a shadow finds the object that casts it.

    With `across_time` every position of every frame looks at all others, else only at those of its own frame. Queries
    and keys are rotated by where they are (frame, row, column), so that "below and to the left" can be learned.
    """

    def __init__(self, channels: int, *, across_time: bool, heads: int = 4) -> None:
        super().__init__()
        self.heads, self.across_time = heads, across_time
        self.norm = nn.GroupNorm(8, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """x: [(B T), C, H, W]."""
        query, key, value = self.heads_of(x, frames)
        seen = F.scaled_dot_product_attention(query, key, value)
        together, height = frames if self.across_time else 1, x.shape[-2]
        return torch.add(x, self.out(rearrange(seen, "b m (t h w) c -> (b t) (m c) h w", t=together, h=height)))

    def heads_of(self, x: Tensor, frames: int) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value, each [B, heads, tokens, C / heads]; B counts clips, or frames if not `across_time`."""
        together = frames if self.across_time else 1
        qkv = rearrange(self.qkv(self.norm(x)), "(b t) (n m c) h w -> n b m (t h w) c", t=together, n=3, m=self.heads)
        turn = _rotations(together, x.shape[-2], x.shape[-1], qkv.shape[-1], x.device)
        return _rotated(qkv[0], turn), _rotated(qkv[1], turn), qkv[2]


def _rotations(frames: int, height: int, width: int, channels: int, device: torch.device) -> Tensor:
    """Angles [tokens, channels // 2]: a sixth of the channels in pairs for each axis, the rest stay as they are."""
    pairs = channels // 6
    frequencies = torch.pi * 0.5 ** torch.linspace(1, 5, pairs, device=device)
    axes = [torch.arange(n, device=device, dtype=torch.float32) for n in (frames, height, width)]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, 3)
    angles = (positions[..., None] * frequencies).flatten(1)
    return F.pad(angles, (0, channels // 2 - angles.shape[1]))


def _rotated(x: Tensor, angles: Tensor) -> Tensor:
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class CompactCasper(nn.Module):
    """Predicts the clean video x0 from (x_t, conditions, t)."""

    def __init__(self, widths: Widths = Widths()) -> None:
        super().__init__()
        a, b, c, d = widths.levels
        time = widths.time
        self.embed = nn.Sequential(nn.Linear(32, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.stem = nn.Conv2d(4 * (3 + CONDITION_CHANNELS), a, 3, padding=1)
        self.down_a = Block(a, a, time)
        self.to_b = nn.Conv2d(a, b, 2, stride=2)
        self.down_b = Block(b, b, time)
        self.to_c = nn.Conv2d(b, c, 2, stride=2)
        self.down_c = nn.ModuleList([Block(c, c, time), Block(c, c, time)])
        self.to_d = nn.Conv2d(c, d, 2, stride=2)
        self.middle = nn.ModuleList([Block(d, d, time) for _ in range(3)])
        self.attention = nn.ModuleList([Attention(d, across_time=True) for _ in range(2)])
        self.attention_c = Attention(c, across_time=False)
        self.up_c = Block(d + c, c, time)
        self.up_b = Block(c + b, b, time)
        self.up_a = Block(b + a, a, time)
        # per pixel: painted RGB, relighting RGB, and four logits (input, plate, painted, relit input)
        self.head = nn.Conv2d(a, 4 * 10, 3, padding=1)

    def forward(self, noisy: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        """noisy: [B, 3, T, H, W]; conditions: [B, 8, T, H, W] (`stack_conditions`); t: [B] in 0..1. Returns x0."""
        return self.explain(noisy, conditions, t)[0]

    def explain(self, noisy: Tensor, conditions: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """x0, and the shares [B, 4, T, H, W] (sum 1) of input, plate, paint and relit input in it."""
        frames = noisy.shape[2]
        level = self.embed(_fourier(t))
        x = rearrange(torch.cat([noisy, conditions], dim=1), "b c t h w -> (b t) c h w")
        x = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        a = self.down_a(self.stem(x), level, frames)
        b = self.down_b(self.to_b(a), level, frames)
        c = self.to_c(b)
        for block in self.down_c:
            c = block(c, level, frames)
        c = self.attention_c(c, frames)
        d = self.to_d(c)
        for i, attention in enumerate(self.attention):
            d = attention(self.middle[i](d, level, frames), frames)
        d = self.middle[-1](d, level, frames)
        c = self.up_c(torch.cat([_double(d), c], dim=1), level, frames)
        b = self.up_b(torch.cat([_double(c), b], dim=1), level, frames)
        a = self.up_a(torch.cat([_double(b), a], dim=1), level, frames)
        out = F.pixel_shuffle(self.head(F.silu(a)), 2).float()
        out = rearrange(out, "(b t) c h w -> b c t h w", t=frames)
        video, plate = conditions[:, 0:3].float(), conditions[:, 4:7].float()
        painted = torch.tanh(out[:, 0:3])
        relit = ((video + 1) * torch.exp(2 * torch.tanh(out[:, 3:6])) - 1).clamp(-1, 1)
        shares = torch.softmax(out[:, 6:10], dim=1)
        # Not while training: a share that is cut off could never come back.
        used = shares if self.training else _decided(shares)
        sources = (video, plate, painted, relit)
        return torch.stack([used[:, i : i + 1] * source for i, source in enumerate(sources)]).sum(dim=0), shares


def _decided(shares: Tensor) -> Tensor:
    """Drop shares below 5 %: what is to be copied is copied exactly, not nearly."""
    kept = F.relu(shares - 0.05)
    return kept / kept.sum(dim=1, keepdim=True)


def stack_conditions(video: Tensor, trimask: Tensor, plate: Tensor, seen: Tensor) -> Tensor:
    """[B, 8, T, H, W] out of video and plate [B, 3, T, H, W], trimask and seen [B, 1, T, H, W], all 0..1."""
    return torch.cat([video, trimask, plate, seen], dim=1) * 2 - 1


def _fourier(t: Tensor) -> Tensor:
    frequencies = 2.0 ** torch.arange(16, device=t.device) * 0.1
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")
