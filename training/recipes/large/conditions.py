"""What training alone does to the conditions: the noise on the condition video, and what a clip does without.

Masks are those of inference (services/casper/cogvideox/inputs.py, services/casper/wan/conditions.py). Pure functions.
Must not know: any network.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
