"""The published models of every stage that has a choice, and what each needs: weights, packages, hardware. Plain data.

Must not know: what this machine has.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageModel:
    """One model that can do a stage's work, beside the compact one."""

    stage: str
    name: str
    entries: tuple[str, ...]
    """Names of entries of the catalogue."""

    packages: tuple[str, ...]
    """Modules that have to be importable."""

    gpu_gb: int = 0
    """Memory of the smallest graphics card that it is meant for, in units of 10^9 bytes; 0: it runs without one."""

    @property
    def title(self) -> str:
        return f"{self.stage}: {self.name}"


DISTRIBUTIONS = {
    "av": "av",
    "cv2": "opencv-python-headless",
    "diffusers": "diffusers",
    "einops": "einops",
    "onnxruntime": "onnxruntime",
    "OpenEXR": "OpenEXR",
    "PIL": "pillow",
    "safetensors": "safetensors",
    "torch": "torch",
    "transformers": "transformers",
    "zarr": "zarr",
}
"""What to install for a module."""

COMPACT_PACKAGES = ("av", "cv2", "einops", "onnxruntime", "OpenEXR", "PIL", "safetensors", "torch", "zarr")
COMPACT_FILES = (
    "casper/compact.safetensors",
    "depth/compact.onnx",
    "omnimatte/compact.safetensors",
    "ssr/compact.onnx",
)
"""Weights that the package itself brings, in the folder `services`."""

COMPACT_MEMORY = 2 * 10**9
"""Bytes of memory that the whole chain needs on a short clip."""

_LARGE = ("torch", "diffusers", "transformers", "safetensors")
_TRANSFORMERS = ("torch", "transformers", "safetensors")

STAGE_MODELS: tuple[StageModel, ...] = (
    StageModel("casper", "cogvideox", ("cogvideox-fun-v1.5-5b-inp", "casper-cogvideox"), _LARGE, gpu_gb=24),
    StageModel("casper", "wan-1.3b", ("wan2.1-fun-1.3b-inp", "casper-wan-1.3b"), _LARGE, gpu_gb=24),
    StageModel("casper", "wan-14b", ("wan2.1-fun-14b-inp", "casper-wan-14b"), _LARGE, gpu_gb=24),
    StageModel("sam2", "sam2.1-tiny", ("sam2.1-tiny",), _TRANSFORMERS),
    StageModel("sam2", "sam2.1-small", ("sam2.1-small",), _TRANSFORMERS),
    StageModel("sam2", "sam2.1-base-plus", ("sam2.1-base-plus",), _TRANSFORMERS),
    StageModel("sam2", "sam2.1-large", ("sam2.1-large",), _TRANSFORMERS),
    StageModel("sam2", "edgetam", ("edgetam",), _TRANSFORMERS),
    # Its authors: 9 GB for 512x256 pixels, 26 GB for 1024x576.
    StageModel("depth", "depthcrafter", ("depthcrafter",), _LARGE, gpu_gb=9),
    StageModel("depth", "depth-anything-v2-small", ("depth-anything-v2-small",), _TRANSFORMERS),
    StageModel("depth", "video-depth-anything-small", ("video-depth-anything-small",), ("torch",)),
)


def find(stage: str, name: str) -> StageModel:
    """The model called `name` of `stage`. Raises KeyError."""
    return {(model.stage, model.name): model for model in STAGE_MODELS}[stage, name]
