"""Where the large depth models run: CUDA where it is, otherwise the CPU. Must not know: any model."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Place:
    """device: of torch. dtype: of weights and activations."""

    device: str
    dtype: torch.dtype


def best_place(on_cuda: torch.dtype) -> Place:
    """CUDA in `on_cuda`, or the CPU in float32 (where half precision is slower by far)."""
    return Place("cuda", on_cuda) if torch.cuda.is_available() else Place("cpu", torch.float32)
