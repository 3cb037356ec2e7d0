"""Reading ranges of a clip's frames at the size and in the type that a stage works in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def chunk_ranges(array: Any) -> Iterator[tuple[int, int]]:
    """(start, stop) of each chunk along time, so that every chunk is read and written once."""
    step = int(array.chunks[0])
    for start in range(0, array.shape[0], step):
        yield start, min(start + step, array.shape[0])


def to_float(frames: NDArray[Any]) -> NDArray[np.float32]:
    """uint8 or uint16 frames as float32 0..1; float frames as they are."""
    if np.issubdtype(frames.dtype, np.integer):
        return np.asarray(frames / np.float32(np.iinfo(frames.dtype).max), np.float32)
    return frames.astype(np.float32)


def to_bytes(frames: NDArray[Any]) -> NDArray[np.uint8]:
    """Any frames as uint8."""
    if frames.dtype == np.uint8:
        return np.asarray(frames, np.uint8)
    return np.asarray(np.clip(to_float(frames) * 255 + 0.5, 0, 255), np.uint8)


def resized(frames: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """[T, H, W, C] at another size, area-averaged when it shrinks; the same array if the size fits already."""
    if frames.shape[1:3] == (height, width):
        return frames
    shrinks = height * width < frames.shape[1] * frames.shape[2]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    scaled = [cv2.resize(frame, (width, height), interpolation=method) for frame in frames]
    return np.stack(scaled).reshape(len(frames), height, width, frames.shape[-1])
