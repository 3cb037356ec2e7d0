"""Small pictures of every frame for the result page, within a budget of bytes.

Must not know: HTML.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.finish.sources import Integers

BUDGET_BYTES = 17_000_000
"""All pictures of a page together, before base64 makes them a third larger."""
MAX_FRAMES = 600
"""A page of a longer clip shows every second frame, or every third, ..."""
_WIDTHS = (480, 400, 320, 256, 192, 128)
_BYTES_PER_PIXEL = 0.11
_QUALITY = (25, 82)


@dataclass(frozen=True)
class Plan:
    """Which frames a page shows, and how large."""

    indices: range
    width: int
    height: int


def plan(*, frames: int, width: int, height: int, layers: int, budget: int = BUDGET_BYTES) -> Plan:
    """The largest pictures that fit: at most 480 columns, never larger than the clip."""
    step = -(-frames // MAX_FRAMES)
    indices = range(0, frames, step)
    per_frame = budget / len(indices)
    chosen = (16, 16)
    for candidate in _WIDTHS:
        scale = min(1.0, candidate / width, candidate / height)
        chosen = (max(2, round(width * scale)), max(2, round(height * scale)))
        if chosen[0] * chosen[1] * _BYTES_PER_PIXEL * (2 + 0.5 * layers) <= per_frame:
            break
    return Plan(indices=indices, width=chosen[0], height=chosen[1])


@dataclass
class Album:
    """The pictures of one clip, base64 WebP, in order; quality follows what is left of the budget."""

    plan: Plan
    labels: list[str]
    budget: int = BUDGET_BYTES
    image: list[str] = field(default_factory=list)
    background: list[str] = field(default_factory=list)
    matte: list[list[str]] = field(default_factory=list)
    _quality: float = _QUALITY[1]
    _spent: int = 0

    def __post_init__(self) -> None:
        self.matte = [[] for _ in self.labels]

    def add(self, image: Integers, background: Integers, layers: tuple[Integers, ...]) -> None:
        """One frame: input and background [H, W, 3], layers [H, W, 4] straight."""
        before = self._spent
        self.image.append(self._coded(image))
        self.background.append(self._coded(background))
        for pictures, layer in zip(self.matte, layers, strict=True):
            pictures.append(self._coded(layer))
        left = len(self.plan.indices) - len(self.image)
        if left:
            allowed = max(1.0, (self.budget - self._spent) / left)
            # Bytes grow about with the square of this scale of quality; a step at a time, so that it does not swing.
            factor = float(np.clip((allowed / (self._spent - before)) ** 0.5, 0.85, 1.1))
            self._quality = float(np.clip(self._quality * factor, *_QUALITY))

    def _coded(self, picture: Integers) -> str:
        small = _shrink(picture, width=self.plan.width, height=self.plan.height)
        buffer = io.BytesIO()
        Image.fromarray(small).save(
            buffer, "WEBP", quality=round(self._quality), method=1, alpha_quality=round(min(90, self._quality))
        )
        self._spent += buffer.tell()
        return base64.b64encode(buffer.getvalue()).decode("ascii")


def _shrink(picture: Integers, *, width: int, height: int) -> NDArray[np.uint8]:
    """`picture` at [height, width], uint8, the same channels."""
    small = picture if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8)
    if small.shape[:2] == (height, width):
        return small
    if small.shape[2] == 3:
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # Averages of straight colour would mix in what is invisible.
    values = small.astype(np.float32)
    values[..., :3] *= values[..., 3:] * np.float32(1 / 255)
    values = np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))
    values[..., :3] *= 255 / np.maximum(values[..., 3:], np.float32(0.25))
    rgba: NDArray[np.uint8] = np.rint(np.clip(values, 0, 255)).astype(np.uint8)
    return rgba
