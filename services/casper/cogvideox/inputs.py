"""What the CogVideoX denoiser is given: 33 channels [16 noisy latent | 1 mask | 16 condition video], noise, positions.

Noise depends on the seed and the frame's number alone, so the N+1 runs of a job share it whatever their number and
wherever they run (paper section 3.2: "the same noise initialization"; the released code does not do this). Must not
know: how the denoiser is loaded or stepped.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from numpy.typing import NDArray
from torch import Tensor

from services.casper.cogvideox.vae import LATENT_CHANNELS, SCALING, STRIDE
from services.casper.large.preparation import resized_mask, snapped

CONDITION_NOISE = 0.0563
"""Standard deviation of the noise on the condition video, in -1..1; training drew it from exp(N(-3, 0.5))."""

_LATENT_STREAM, _CONDITION_STREAM = 0, 1


def latent_noise(start: int, stop: int, *, seed: int, height: int, width: int) -> Tensor:
    """Standard normal noise [1, 16, stop - start, height / 8, width / 8], float32; height and width of the video."""
    shape = (LATENT_CHANNELS, height // STRIDE, width // STRIDE)
    drawn = [_normal(seed, _LATENT_STREAM, latent, shape) for latent in range(start, stop)]
    return torch.from_numpy(np.stack(drawn, axis=1))[None]


def condition_noise(start: int, stop: int, *, seed: int, height: int, width: int) -> Tensor:
    """Standard normal noise [1, 3, stop - start, height, width], float32, of frames [start, stop)."""
    drawn = [_normal(seed, _CONDITION_STREAM, frame, (3, height, width)) for frame in range(start, stop)]
    return torch.from_numpy(np.stack(drawn, axis=1))[None]


def _normal(seed: int, stream: int, index: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng([seed, stream, index]).standard_normal(shape, dtype=np.float32)


def with_condition_noise(video: Tensor, noise: Tensor) -> Tensor:
    """A video in -1..1 with `noise` of strength 0.0563, but not where a value is exactly -1."""
    return video + torch.where(video == -1, 0.0, noise * CONDITION_NOISE)


def cogvideox_mask(trimask: Tensor, *, size: tuple[int, int, int], scaling: float = SCALING) -> Tensor:
    """The mask channel [B, 1, T', h, w]: multiplied by the VAE's scaling factor, as latents are (keep becomes 0.7)."""
    return resized_mask(snapped(trimask), size=size) * scaling


def mask_part(trimask: Tensor, *, begins: bool) -> Tensor:
    """The mask channel [B, 1, t', h, w] of a clip's next frames [B, 1, t, H, W]; t is 4k + 1 where it begins, or 4k."""
    _, _, frames, height, width = trimask.shape
    size = (frames // 4 + begins, height // STRIDE, width // STRIDE)
    return resized_mask(snapped(trimask), size=size, begins=begins) * SCALING


def assembled(noisy: Tensor, mask: Tensor, video: Tensor) -> Tensor:
    """The denoiser's input [B, T', 33, h, w] of latents [B, 16, T', h, w], mask [B, 1, ...], video [1, 16, ...]."""
    shared = video.expand(len(noisy), -1, -1, -1, -1)
    return torch.cat([noisy, mask.to(noisy.dtype), shared.to(noisy.dtype)], dim=1).transpose(1, 2)


def rotary(config: Any, stacked: Tensor) -> tuple[Tensor, Tensor]:
    """Cosine and sine [tokens, head size] for an input [B, T', 33, h, w]; time starts at 0 in every window."""
    frames, _, height, width = stacked.shape[1:]
    patch = config.patch_size
    cos, sin = get_3d_rotary_pos_embed(
        embed_dim=config.attention_head_dim,
        crops_coords=None,
        grid_size=(height // patch, width // patch),
        temporal_size=frames // config.patch_size_t,
        grid_type="slice",
        max_size=(config.sample_height // patch, config.sample_width // patch),
        device=stacked.device,
    )
    return cos, sin
