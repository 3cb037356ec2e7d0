"""Deliverables as image sequences: PNG (straight alpha) and OpenEXR (premultiplied, scene-linear).

PNG keeps the clip's own codes unless another colour space or depth was asked for. EXR follows what compositing
programs expect: one file per frame, the background as the unnamed RGBA that every program shows, each object as a
layer of its own name; half floats, colour linear and multiplied by alpha.
Must not know: video files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR
from numpy.typing import NDArray

from services.artifacts import Draft
from services.errors import Internal
from services.finish.color import CHROMATICITIES, Conversion
from services.finish.names import Kind, Names, channel_names
from services.finish.shot import Shot
from services.finish.sources import Integers

_COMPRESSION = {
    "zip": OpenEXR.ZIP_COMPRESSION,
    "piz": OpenEXR.PIZ_COMPRESSION,
    "dwaa": OpenEXR.DWAA_COMPRESSION,
}


def png(image: Integers, *, level: int = 1) -> bytes:
    """`image` [H, W], or [H, W, 3 or 4] RGB(A), as a PNG of its own depth."""
    if image.ndim == 3:
        image = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR))
    done, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, level])
    if not done:
        raise Internal("a frame could not be written as PNG; please report this.")
    return bytes(data)


def with_bits(image: Integers, bits: int) -> Integers:
    """`image` in 8 or 16 bits; as it is if it has them already, or `bits` is 0."""
    if bits in (0, image.dtype.itemsize * 8):
        return image
    if bits == 16:
        return image.astype(np.uint16) * np.uint16(257)
    return np.rint(image / np.float32(257)).astype(np.uint8)


@dataclass
class PngWriter:
    """`<stem>/00000.png` of the background and each layer.

    Attributes:
        convert: to another colour space; None: the clip's own codes.
        bits: 8, 16, or 0 for the clip's own.
    """

    draft: Draft
    names: Names
    labels: list[str]
    peak: int
    convert: Conversion | None
    bits: int

    def write(self, shot: Shot) -> None:
        self._put(Kind.BACKGROUND, "", shot, shot.background)
        for label in self.labels:
            self._put(Kind.LAYER, label, shot, shot.layers[label])

    def close(self) -> None:
        """Nothing is left to do."""

    def _put(self, kind: Kind, label: str, shot: Shot, image: Integers) -> None:
        if self.convert is not None:
            image = self.convert.codes(image, peak=self.peak)
        path = self.names.at(self.names.sequence(kind, label, suffix="png"), shot.index)
        self.draft.put(path, png(with_bits(image, self.bits)))


@dataclass
class ExrWriter:
    """`exr/00000.exr`: the background and every layer in one file per frame.

    Attributes:
        convert: to the scene-linear space `space`.
        compression: "zip" and "piz" lose nothing; "dwaa" is small and loses what one hardly sees.
        pixel_aspect: width over height of a pixel. comments: for the header.
    """

    draft: Draft
    names: Names
    labels: list[str]
    peak: int
    convert: Conversion
    space: str
    compression: str
    pixel_aspect: float
    comments: str

    def write(self, shot: Shot) -> None:
        channels: dict[str, NDArray[np.float16]] = {"RGBA": self._opaque(shot.background)}
        for label, name in channel_names(self.labels).items():
            channels[name] = self._premultiplied(shot.layers[label])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frame.exr"
            OpenEXR.File(self._header(shot.background), channels).write(str(path))
            self.draft.put(self.names.at(self.names.sequence(Kind.EVERYTHING, suffix="exr"), shot.index), path)

    def close(self) -> None:
        """Nothing is left to do."""

    def _header(self, image: Integers) -> Mapping[str, Any]:
        window = (np.zeros(2, np.int32), np.array([image.shape[1] - 1, image.shape[0] - 1], np.int32))
        return {
            "compression": _COMPRESSION[self.compression],
            "type": OpenEXR.scanlineimage,
            "dataWindow": window,
            "displayWindow": window,
            "pixelAspectRatio": self.pixel_aspect,
            "chromaticities": CHROMATICITIES[self.space],
            "comments": self.comments,
        }

    def _opaque(self, image: Integers) -> NDArray[np.float16]:
        alpha = np.ones((*image.shape[:2], 1), np.float16)
        return np.concatenate([_half(self.convert.values(image, peak=self.peak)), alpha], axis=-1)

    def _premultiplied(self, layer: Integers) -> NDArray[np.float16]:
        pixels = np.zeros((*layer.shape[:2], 4), np.float16)
        x, y, width, height = cv2.boundingRect((layer[..., 3] > 0).astype(np.uint8))
        seen = layer[y : y + height, x : x + width]
        if seen.size:  # A layer is empty nearly everywhere.
            alpha = seen[..., 3:].astype(np.float32) / np.float32(self.peak)
            color = self.convert.values(seen, peak=self.peak) * alpha
            pixels[y : y + height, x : x + width] = _half(np.concatenate([color, alpha], axis=-1))
        return pixels


def _half(values: NDArray[Any]) -> NDArray[np.float16]:
    """The nearest half floats; what is beyond their range takes its end, since infinities spread when filtered."""
    return np.clip(values, -65504.0, 65504.0).astype(np.float16)
