"""A tiny CogVideoX Casper and a clip for it."""

from pathlib import Path

import numpy as np
import pytest

from services.base_clip import BaseClip
from services.casper.cogvideox.tiny import write_tiny


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("cogvideox"))


def moving_clip(frames: int, *, height: int = 40, width: int = 50) -> BaseClip:
    """Noise, and two squares that move to the right, one above the other."""
    video = np.random.default_rng(frames).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    masks = np.zeros((frames, height, width, 2), np.uint8)
    for t in range(frames):
        masks[t, 2:12, 2 + t % 30 : 12 + t % 30, 0] = 255
        masks[t, 26:36, 2 + t % 30 : 12 + t % 30, 1] = 255
    return BaseClip(video, masks, None)


@pytest.fixture
def clip() -> BaseClip:
    return moving_clip(9)
