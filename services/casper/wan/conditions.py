"""What Wan is told about a clip: 36 channels per latent, 16 of noise, 4 of mask, 16 of condition video, in this order.

The mask is neither scaled nor made binary: remove 0, unsure 128/255, keep 1. A latent stands for four frames and sees
the mask of each in a channel of its own; the first latent is one frame, four times. The condition video is the input as
it is, object included (paper section 3.2), without noise. Must not know: the VAE, windows.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor

from services.casper.large.preparation import resized_mask, snapped

FOLD = 4


def wan_mask(trimask: Tensor, *, size: tuple[int, int, int], begins: bool = True) -> Tensor:
    """Mask channels [B, 4, T', h, w] of a trimask [B, 1, T, H, W] (0 remove, 0.5 or 128/255 unsure, 1 keep).

    size: (T', h, w), the latents'.
    begins: the trimask starts with the clip's first frame, so T is 4k + 1; else it is a later part, and T is 4k. Parts
    give what the whole gives.
    Raises ValueError for another T.
    """
    # Time has its size already, so only space is resized, first frame or not.
    return resized_mask(_folded(snapped(trimask[:, 0]), begins=begins), size=size, begins=begins)


def stacked(noisy: Tensor, mask: Tensor, video: Tensor) -> Tensor:
    """The network's input [B, 36, t, h, w]. noisy: [B, 16, t, h, w]; mask: [B, 4, ...]; video: [1 or B, 16, ...]."""
    return torch.cat([noisy, mask, video.expand(len(noisy), -1, -1, -1, -1)], dim=1)


def _folded(trimask: Tensor, *, begins: bool) -> Tensor:
    """Four frames become four channels: [B, T, H, W] to [B, 4, T', H, W]."""
    if begins:
        trimask = torch.cat([trimask[:, :1].expand(-1, FOLD, -1, -1), trimask[:, 1:]], dim=1)
    if trimask.shape[1] % FOLD:
        raise ValueError(f"{trimask.shape[1]} frames of mask make no whole number of latents; use 4k + 1 frames")
    return rearrange(trimask, "b (t f) h w -> b f t h w", f=FOLD)
