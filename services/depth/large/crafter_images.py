"""What DepthCrafter is shown of a frame: its size, and the small picture for CLIP. Pure functions.

Must not know: the networks.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from services.depth.large.estimator import Size

MULTIPLE = 64
LONG_SIDE = 1024
CLIP_SIDE = 224
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def network_size(height: int, width: int, *, long_side: int = LONG_SIDE) -> Size:
    """The frame's size, shrunk where its longer side exceeds `long_side`, both sides multiples of 64, at least 64."""
    scale = 1.0
    if max(_rounded(height), _rounded(width)) > long_side:
        scale = long_side / max(height, width)
    return Size(_rounded(height * scale), _rounded(width * scale))


def clip_input(frames: Tensor) -> Tensor:
    """[T, 3, 224, 224] with CLIP's mean and deviation, from frames [T, 3, h, w] in -1..1.

    The picture is squeezed to a square: blurred by half of what it shrinks, then resampled by cubics, corner on corner.
    """
    height, width = frames.shape[-2:]
    blurred = _blurred(_blurred(frames, -1, width / CLIP_SIDE), -2, height / CLIP_SIDE)
    small = F.interpolate(blurred, size=(CLIP_SIDE, CLIP_SIDE), mode="bicubic", align_corners=True)
    mean, deviation = (torch.tensor(v).to(small)[:, None, None] for v in (CLIP_MEAN, CLIP_DEVIATION))
    return ((small + 1) / 2 - mean) / deviation


def _blurred(frames: Tensor, axis: int, shrink: float) -> Tensor:
    """Gaussian blur along one axis, mirrored at the ends, two deviations wide on each side."""
    deviation = max((shrink - 1) / 2, 0.001)
    width = int(max(4 * deviation, 3))
    width += 1 - width % 2
    places = torch.arange(width, device=frames.device, dtype=frames.dtype) - width // 2
    kernel = torch.exp(-(places**2) / (2 * deviation**2))
    shape = (1, width) if axis == -1 else (width, 1)
    kernel = (kernel / kernel.sum()).reshape(1, 1, *shape).expand(frames.shape[1], 1, *shape)
    pad = (width // 2, width // 2, 0, 0) if axis == -1 else (0, 0, width // 2, width // 2)
    return F.conv2d(F.pad(frames, pad, mode="reflect"), kernel, groups=frames.shape[1])


def _rounded(length: float) -> int:
    return max(MULTIPLE, round(length / MULTIPLE) * MULTIPLE)
