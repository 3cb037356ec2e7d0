"""The large depth models by name, and how each is loaded from its folder of the weights.

Imports no model and no torch until one is loaded. Must not know: stages, artifacts, where folders come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from services.depth.large.estimator import DepthEstimator

VIDEO_FILE = "video_depth_anything_vits.pth"


@dataclass(frozen=True)
class LargeModel:
    """load: makes the model from its folder; raises BadOption for a checkpoint that is another's, naming the tensor.

    version: raised whenever the same weights would give another depth.
    """

    version: int
    load: Callable[[Path], DepthEstimator]


def _crafter(folder: Path) -> DepthEstimator:
    from services.depth.large import crafter_files

    return crafter_files.load(folder)


def _video(folder: Path) -> DepthEstimator:
    from services.depth.large import video_depth_anything

    return video_depth_anything.load(folder / VIDEO_FILE)


def _single(folder: Path) -> DepthEstimator:
    from services.depth.large import depth_anything

    return depth_anything.load(folder)


MODELS: Mapping[str, LargeModel] = MappingProxyType(
    {
        "depthcrafter": LargeModel(1, _crafter),
        "video-depth-anything-small": LargeModel(1, _video),
        "depth-anything-v2-small": LargeModel(1, _single),
    }
)
"""DepthCrafter is the paper's choice."""


def tensors_of(folder: Path, name: str) -> Path:
    """The half-precision file of diffusers' or transformers' layout where it is there, else the plain one."""
    half = folder / f"{name}.fp16.safetensors"
    return half if half.is_file() else folder / f"{name}.safetensors"
