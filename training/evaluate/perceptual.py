"""LPIPS, if this machine has the package and its backbone; nothing is ever downloaded.

Must not know: anything but two videos.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Video = NDArray[np.float32]
Perceptual = Callable[[Video, Video], float]

MISSING = "no weights"
_BACKBONE = "alexnet-owt-*.pth"


def lpips() -> Perceptual | None:
    """LPIPS (AlexNet, version 0.1, as papers report it), mean over frames; None where it cannot be had.

    Needs the package `lpips`, and AlexNet's weights in the cache of torch.hub (`$TORCH_HOME/hub/checkpoints`).
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints"
    if importlib.util.find_spec("lpips") is None or not any(cached.glob(_BACKBONE)):
        return None
    package: Any = importlib.import_module("lpips")
    network = package.LPIPS(net="alex", verbose=False).eval()

    @torch.inference_mode()
    def measure(result: Video, truth: Video) -> float:
        return float(np.mean([float(network(_tensor(a), _tensor(b))) for a, b in zip(result, truth, strict=True)]))

    return measure


def _tensor(frame: Video) -> torch.Tensor:
    return torch.from_numpy(frame.transpose(2, 0, 1).copy())[None] * 2 - 1
