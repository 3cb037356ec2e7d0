"""What the large Caspers are told, to the number: trimask values and sizes, the noise on the condition video.

Pure functions. A network that was trained with other values than these does not understand them, so each oddity of the
released models is kept: the neutral value 128/255, the mask's sampling in time, its scaling for CogVideoX. Must not
know: any network.

Trimasks come as everywhere else: [B, 1, T, H, W], 1 keep, 0.5 unsure, 0 remove. Videos: [B, 3, T, H, W].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

NEUTRAL = 128 / 255
"""What "unsure" is for a network whose trimask was 8-bit, and inverted once."""


def latent_frames(frames: int) -> int:
    """Latent frames of a clip of 4k + 1 frames. Raises ValueError for another length."""
    if frames % 4 != 1:
        raise ValueError(f"a clip of {frames} frames has no whole number of latents; use 4k + 1 frames")
    return frames // 4 + 1


def snapped(trimask: Tensor) -> Tensor:
    """Every value moved to the nearest of remove 0, unsure 128/255, keep 1 (borders at 63/255 and 192/255)."""
    unsure = torch.where(trimask <= 192 / 255, NEUTRAL, 1.0)
    return torch.where(trimask < 63 / 255, 0.0, unsure).to(trimask.dtype)


def resized_mask(mask: Tensor, *, size: tuple[int, int, int]) -> Tensor:
    """[B, C, T, H, W] to `size` (T', h, w): the first frame on its own, the rest to T' - 1, trilinear.

    Neither smoothed before nor made binary after: of 8x8 pixels the middle 2x2 count, of 4 frames the middle 2.
    """
    frames, height, width = size
    first = F.interpolate(mask[:, :, :1], size=(1, height, width), mode="trilinear", align_corners=False)
    if frames == 1:
        return first
    rest = F.interpolate(mask[:, :, 1:], size=(frames - 1, height, width), mode="trilinear", align_corners=False)
    return torch.cat([first, rest], dim=2)


def cogvideox_mask(trimask: Tensor, *, size: tuple[int, int, int], scaling: float) -> Tensor:
    """The mask channel [B, 1, T', h, w]: multiplied by the VAE's scaling factor, as latents are (keep becomes 0.7)."""
    return resized_mask(snapped(trimask), size=size) * scaling


def wan_mask(trimask: Tensor, *, size: tuple[int, int, int]) -> Tensor:
    """Four mask channels [B, 4, T', h, w], the four frames of each latent; the first frame stands for four."""
    mask = snapped(trimask)
    frames = torch.cat([mask[:, :, :1].expand(-1, -1, 4, -1, -1), mask[:, :, 1:]], dim=2)
    folded = frames[:, 0].reshape(len(mask), -1, 4, *mask.shape[3:]).transpose(1, 2)
    return resized_mask(folded, size=size)


def noise_strength(size: int, *, generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard deviation of the noise on the condition video, one for each of `size` clips: exp(N(-3, 0.5))."""
    return torch.exp(torch.randn(size, generator=generator, device=device) * 0.5 - 3)


def with_noise(video: Tensor, strength: Tensor, *, generator: torch.Generator) -> Tensor:
    """Normal noise of `strength` [B] on a video in -1..1, but not where a pixel is exactly -1 (blacked out)."""
    noise = torch.randn(video.shape, generator=generator, device=video.device)
    return video + torch.where(video == -1, 0.0, noise * strength[:, None, None, None, None])


def dropped(size: int, share: float, *, generator: torch.Generator, device: torch.device) -> Tensor:
    """[size] bool: which clips do without their text (or image)."""
    return torch.rand(size, generator=generator, device=device) < share
