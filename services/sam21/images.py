"""Between a clip's pixels and the model's: frames into its square, its logits back to masks at native size.

Frames are squeezed into a square without keeping their aspect, as SAM 2 was trained. Must not know: the model, memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from services import frames

Byte = NDArray[np.uint8]

# Mean and deviation of the photographs that the encoder was trained on (ImageNet), RGB, of values 0..1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


def squared(frame: NDArray[Any], *, size: int, device: torch.device) -> Tensor:
    """[H, W, 3] RGB uint8 or uint16 -> [1, 3, size, size] float32, normalised; area is filtered where it shrinks."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames.to_float(frame))).to(device)
    pixels = pixels.permute(2, 0, 1)[None]
    if pixels.shape[-2:] != (size, size):
        pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    deviation = torch.tensor(DEVIATION, device=device).view(1, 3, 1, 1)
    return (pixels - mean) / deviation


def squared_mask(mask: NDArray[Any], *, size: int, device: torch.device) -> Tensor:
    """[H, W], object where it is not 0 -> [1, 1, size, size] float32 0 or 1: object where it covers half a pixel."""
    full = torch.from_numpy((np.asarray(mask) != 0).astype(np.float32)).to(device)[None, None]
    if full.shape[-2:] == (size, size):
        return full
    small = F.interpolate(full, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    return (small >= 0.5).float()


def separated(logits: Tensor, *, height: int, width: int) -> Byte:
    """[N, h, w] logits of N objects -> their masks [height, width, N] uint8 0 or 255, no pixel in two of them.

    A pixel that several objects claim goes to the one with the highest logit, that is the one the model is surest of;
    at a tie to the first. (SAM 2's own rule for masks that must not overlap.)
    """
    full = F.interpolate(logits[:, None].float(), size=(height, width), mode="bilinear", align_corners=False)[:, 0]
    best, winner = full.max(dim=0)
    numbers = torch.arange(len(full), device=full.device).view(1, 1, -1)
    masks = (winner[..., None] == numbers) & (best > 0)[..., None]
    return np.asarray((masks.to(torch.uint8) * 255).cpu().numpy(), np.uint8)
