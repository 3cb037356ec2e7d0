"""Depth-Anything-V2-Small: one frame at a time (Yang et al., "Depth Anything V2", 2024).

The network is transformers' `DepthAnythingForDepthEstimation`; preparation is ours (`images.py`). Frames are estimated
one by one, so their scales are made one (`steady.py`) and what still flickers is smoothed.
Must not know: artifacts or stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

from services.checkpoint.config import read_json
from services.checkpoint.files import open_checkpoint
from services.checkpoint.loading import load_into
from services.depth.large import images
from services.depth.large.device import Place, best_place
from services.depth.large.estimator import Clip, Size, Watch
from services.depth.large.steady import steadied
from services.depth.smoothing import median_of_three
from services.geometry import MAX_BASE_ASPECT

Floats = NDArray[np.float32]

_RENAMED = {
    "attention.attention.query.": "attention.q_proj.",
    "attention.attention.key.": "attention.k_proj.",
    "attention.attention.value.": "attention.v_proj.",
    "attention.output.dense.": "attention.o_proj.",
}


class DepthAnything:
    """The network with its weights; `short_side` of what it is shown."""

    whole_range = False

    def __init__(self, network: nn.Module, place: Place, *, short_side: int = images.SHORT_SIDE) -> None:
        self._network = network.to(place.device, place.dtype)
        self._place = place
        self._short_side = short_side

    def estimate(self, clip: Clip, *, size: Size, watch: Watch) -> Iterator[tuple[int, Floats]]:
        for t, disparity in enumerate(median_of_three(steadied(self._single(clip, size=size, watch=watch)))):
            yield t, disparity[None]

    def _single(self, clip: Clip, *, size: Size, watch: Watch) -> Iterator[Floats]:
        """Each frame's disparity [h, w] by itself."""
        total, height, width = clip.shape
        shown = images.network_size(height, width, short_side=self._short_side, longest=MAX_BASE_ASPECT)
        for t in range(total):
            watch.check()
            answer = self.disparity(images.network_input(clip.frame(t), shown)[None])
            watch.progress(t + 1, total, "frames")
            yield images.resized(answer, size)[0]

    def disparity(self, pictures: Floats) -> Floats:
        """[B, h, w], 0 or more, from normalised pictures [B, 3, h, w]; h and w multiples of 14."""
        with torch.inference_mode():
            inside = torch.from_numpy(pictures).to(self._place.device, self._place.dtype)
            return np.asarray(self._network(inside).predicted_depth.float().cpu().numpy(), np.float32)


def load(folder: Path, *, short_side: int = images.SHORT_SIDE) -> DepthAnything:
    """The model in `folder`: config.json and model.safetensors, as published for transformers.

    Raises BadOption for a checkpoint that is not this model's, naming the tensor.
    """
    return DepthAnything(load_network(folder), best_place(torch.float16), short_side=short_side)


def load_network(folder: Path) -> DepthAnythingForDepthEstimation:
    """The network alone, float32 on the CPU; see `load`."""
    config = DepthAnythingConfig(**read_json(folder / "config.json"))
    network = DepthAnythingForDepthEstimation(config)
    load_into(network, open_checkpoint(folder / "model.safetensors"), rename=renamed, dtype=torch.float32)
    return network


def renamed(name: str) -> str:
    """Name in the published file -> name in transformers 5, which shortened those of the attention."""
    for old, new in _RENAMED.items():
        name = name.replace(old, new)
    return name
