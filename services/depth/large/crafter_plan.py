"""DepthCrafter's windows over a long clip, and how their latents are joined. Pure functions.

Hu et al., "DepthCrafter", 2024, section 3.3, and its code: windows of 110 frames that share 25; a later window starts
from the finished latents of the shared frames plus noise, and is faded in over them.
Must not know: the network.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """Frames [start, stop); the first `shared` of them are also the last of the window before."""

    start: int
    stop: int
    shared: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan(total: int, *, window: int, overlap: int) -> tuple[Window, ...]:
    """Windows over `total` frames: all of full length but the last, which is as long as the clip allows.

    Raises ValueError unless 0 <= overlap < window.
    """
    if not 0 <= overlap < window:
        raise ValueError(f"overlap {overlap} must be at least 0 and less than the window {window}")
    if total <= window:
        return (Window(0, total, 0),)
    starts = range(0, total - overlap, window - overlap)
    return tuple(Window(start, min(start + window, total), overlap if start else 0) for start in starts)


def faded(before: Tensor, after: Tensor) -> Tensor:
    """[n, ...] that goes linearly from `before` (its first frame) to `after` (its last)."""
    share = torch.linspace(0, 1, len(before), device=before.device, dtype=before.dtype)
    share = share.reshape(-1, *[1] * (before.ndim - 1))
    return before * (1 - share) + after * share


def chunked(parts: Iterator[tuple[int, Tensor]], size: int) -> Iterator[tuple[int, Tensor]]:
    """The same frames in pieces of `size`, counted from the clip's start; only the last may be shorter."""
    first, held = 0, None
    for _, part in parts:
        held = part if held is None else torch.cat([held, part])
        while len(held) >= size:
            yield first, held[:size]
            first, held = first + size, held[size:]
    if held is not None and len(held):
        yield first, held
