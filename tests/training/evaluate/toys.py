"""Small scenes with ground truth for the tests of the table."""

from __future__ import annotations

import numpy as np

from training.data.scenes import Scene


def scene(*, name: str = "toy", frames: int = 3, height: int = 128, width: int = 128) -> Scene:
    """Two squares before a textured wall, one hiding part of the other, each with a shadow below it."""
    rng = np.random.default_rng(7)
    wall = np.kron(rng.integers(90, 200, (height // 16, width // 16, 3)), np.ones((16, 16, 1))).astype(np.float32)
    background = np.repeat(wall[None], frames, axis=0)
    layers = np.zeros((2, frames, height, width, 4), np.float32)
    for n, colour in enumerate(((220, 40, 40), (40, 60, 230))):
        for t in range(frames):
            x = 20 + 24 * n + 2 * t
            layers[n, t, 70:80, x : x + 40] = (0, 0, 0, 0.5)
            layers[n, t, 30:70, x : x + 40] = (*colour, 1)
    solos = np.stack([_over(background, layer) for layer in layers])
    video = _over(solos[0], layers[1])
    masks = np.where(layers[..., 3] == 1, 255, 0).astype(np.uint8).transpose(1, 2, 3, 0)
    masks[..., 0][masks[..., 1] > 0] = 0
    stored = np.concatenate([layers[..., :3], layers[..., 3:] * 255], axis=-1)
    return Scene(
        name=name,
        category="kubric",
        video=np.rint(video).astype(np.uint8),
        masks=np.ascontiguousarray(masks),
        background=np.rint(background).astype(np.uint8),
        solos=np.rint(solos).astype(np.uint8),
        layers=np.rint(stored).astype(np.uint8),
        order=np.tile(np.array([0, 1], np.uint8), (frames, 1)),
    )


def _over(canvas: np.ndarray, layer: np.ndarray) -> np.ndarray:
    alpha = layer[..., 3:]
    return canvas * (1 - alpha) + layer[..., :3] * alpha
