"""The large depth models by name, where their files are, and which one this process uses.

    OMNIMATTE_DEPTH     depthcrafter (the paper's choice), video-depth-anything-small or depth-anything-v2-small;
                        unset: the production profile is not there
    OMNIMATTE_WEIGHTS   folder of the weights, one folder per model in it

Imports no model and no torch until one is loaded. Must not know: stages or artifacts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.depth.large.estimator import DepthEstimator
from services.errors import BadOption, NotFound
from services.weights import file_digest

MODEL_VARIABLE = "OMNIMATTE_DEPTH"
WEIGHTS_VARIABLE = "OMNIMATTE_WEIGHTS"
DEPTHCRAFTER = "depthcrafter"
VIDEO_DEPTH_ANYTHING = "video-depth-anything-small"
DEPTH_ANYTHING = "depth-anything-v2-small"
SVD = "stable-video-diffusion-img2vid-xt"
"""Whose autoencoder and picture encoder DepthCrafter uses; a folder of its own."""


@dataclass(frozen=True)
class LargeModel:
    """A model and its files.

    version: raised whenever the same weights would give another depth.
    """

    name: str
    version: int
    files: tuple[Path, ...]
    load: Callable[[], DepthEstimator]

    def digest(self) -> str:
        """Of the model's name and all its files, 64 hex digits. Raises NotFound if a file is not there."""
        total = hashlib.sha256(f"{self.name} {self.version}".encode())
        for path in self.files:
            if not path.is_file():
                raise NotFound(
                    f"{self.name} needs {path}, which is not there; get it with `omnimatte weights pull {self.name}`, "
                    f"or set {WEIGHTS_VARIABLE} to the folder of the weights."
                )
            total.update(f" {path.name} {file_digest(path)}".encode())
        return total.hexdigest()


def configured(environment: Mapping[str, str] = os.environ) -> LargeModel | None:
    """The model that the settings name, or None. Raises BadOption for an unknown name or no folder of weights."""
    name = environment.get(MODEL_VARIABLE, "")
    if not name:
        return None
    folder = environment.get(WEIGHTS_VARIABLE, "")
    if not folder:
        raise BadOption(f"{MODEL_VARIABLE} names {name!r}; set {WEIGHTS_VARIABLE} to the folder of its weights too.")
    return large_model(name, Path(folder))


def large_model(name: str, weights: Path) -> LargeModel:
    """The model `name` with its files under the folder `weights`. Raises BadOption for an unknown name."""
    makers = {DEPTHCRAFTER: _crafter, VIDEO_DEPTH_ANYTHING: _video, DEPTH_ANYTHING: _single}
    if name not in makers:
        raise BadOption(f"there is no depth model {name!r}; the models are {', '.join(sorted(makers))}.")
    return makers[name](weights)


def _crafter(weights: Path) -> LargeModel:
    folder, base = weights / DEPTHCRAFTER, weights / SVD

    def load() -> DepthEstimator:
        from services.depth.large import crafter_files

        return crafter_files.load(folder, base)

    return LargeModel(DEPTHCRAFTER, 1, _crafter_files(folder, base), load)


def _crafter_files(folder: Path, base: Path) -> tuple[Path, ...]:
    places = ((folder, "diffusion_pytorch_model"), (base / "vae", "diffusion_pytorch_model"))
    found: list[Path] = []
    for place, name in (*places, (base / "image_encoder", "model")):
        found += [place / "config.json", tensors_of(place, name)]
    return tuple(found)


def tensors_of(folder: Path, name: str) -> Path:
    """The half-precision file of diffusers' or transformers' layout where it is there, else the plain one."""
    half = folder / f"{name}.fp16.safetensors"
    return half if half.is_file() else folder / f"{name}.safetensors"


def _video(weights: Path) -> LargeModel:
    file = weights / VIDEO_DEPTH_ANYTHING / "video_depth_anything_vits.pth"

    def load() -> DepthEstimator:
        from services.depth.large import video_depth_anything

        return video_depth_anything.load(file)

    return LargeModel(VIDEO_DEPTH_ANYTHING, 1, (file,), load)


def _single(weights: Path) -> LargeModel:
    folder = weights / DEPTH_ANYTHING

    def load() -> DepthEstimator:
        from services.depth.large import depth_anything

        return depth_anything.load(folder)

    return LargeModel(DEPTH_ANYTHING, 1, (folder / "config.json", folder / "model.safetensors"), load)
