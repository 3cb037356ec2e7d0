"""Deliverables as image sequences: PNG (straight alpha) and OpenEXR (premultiplied, linear light).

PNG keeps the clip's own codes: 8 bit, or 16 bit when the source is deeper. EXR follows what compositing programs
expect: half floats, colour linearised with the sRGB curve (the one by which they read a PNG) and multiplied by alpha.
Must not know: video files.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from services.artifacts import Draft
from services.errors import Internal
from services.finish.sources import Integers
from services.video.timing import Timeline

PNG = {"color": "as in the input", "alpha": "straight"}
EXR = {"color": "linear light, decoded with the sRGB curve", "alpha": "premultiplied", "bits": 16}


def png(image: Integers, *, level: int = 1) -> bytes:
    """`image` [H, W, 3 or 4] RGB(A) as a PNG of its own depth."""
    swapped = cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(".png", swapped, [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not done:
        raise Internal("a frame could not be written as PNG; please report this.")
    return bytes(data)


def linear(codes: Integers, *, peak: int) -> NDArray[np.float32]:
    """Codes of the clip as linear light, 0..1 (IEC 61966-2-1)."""
    value = codes.astype(np.float32) / np.float32(peak)
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def premultiplied(image: Integers, *, peak: int) -> NDArray[np.float16]:
    """`image` [H, W, 3 or 4] as [H, W, 4] half floats, premultiplied and linear; without alpha it is opaque."""
    alpha = np.ones((*image.shape[:2], 1), dtype=np.float32)
    if image.shape[2] == 4:
        alpha = image[..., 3:].astype(np.float32) / np.float32(peak)
    color = linear(image[..., :3], peak=peak) * alpha
    return np.concatenate([color, alpha], axis=-1).astype(np.float16)


class PngWriter:
    """`<folder>/00000.png`, one call per frame."""

    suffix = "png"

    def __init__(self, draft: Draft) -> None:
        self._draft = draft

    def write(self, stem: str, index: int, image: Integers) -> None:
        self._draft.put(f"{stem}/{index:05d}.png", png(image))


class ExrWriter:
    """`<folder>/00000.exr`, one call per frame."""

    suffix = "exr"

    def __init__(self, draft: Draft, *, peak: int, timeline: Timeline, pixel_aspect: float) -> None:
        self._draft = draft
        self._peak = peak
        self._header: dict[str, Any] = {
            "compression": OpenEXR.ZIP_COMPRESSION,
            "type": OpenEXR.scanlineimage,
            "pixelAspectRatio": pixel_aspect,
            "comments": f"{float(timeline.fps):.6g} frames per second; premultiplied, linear light",
        }

    def write(self, stem: str, index: int, image: Integers) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frame.exr"
            pixels = premultiplied(image, peak=self._peak)
            OpenEXR.File(self._header, {"RGBA": pixels}).write(str(path))
            self._draft.put(f"{stem}/{index:05d}.exr", path.read_bytes())
