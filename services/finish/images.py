"""Deliverables as image sequences: PNG (straight alpha) and OpenEXR (premultiplied, scene-linear).

PNG keeps the clip's own codes unless another colour space or depth was asked for. EXR follows what compositing
programs expect: one file per frame, the background as the unnamed RGBA that every program shows, each object as a
layer of its own name; half floats, colour linear and multiplied by alpha.
Must not know: video files.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.artifacts import Draft
from services.colorspace import Conversion
from services.finish.names import Kind, Names, channel_names
from services.finish.shot import Shot
from services.finish.sources import Integers
from services.stills import ExrHeader, exr, half, png, with_bits


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

    def _put(self, kind: Kind, label: str, shot: Shot, image: Integers) -> None:
        if self.convert is not None:
            image = self.convert.codes(image, peak=self.peak)
        path = self.names.at(self.names.sequence(kind, label, suffix="png"), shot.index)
        self.draft.put(path, png(with_bits(image, self.bits)))


@dataclass
class ExrWriter:
    """`exr/00000.exr`: the background and every layer in one file per frame.

    Attributes:
        convert: to the header's scene-linear space.
        header: what the file says of its pixels.
    """

    draft: Draft
    names: Names
    labels: list[str]
    peak: int
    convert: Conversion
    header: ExrHeader

    def write(self, shot: Shot) -> None:
        channels: dict[str, NDArray[np.float16]] = {"RGBA": self._opaque(shot.background)}
        for label, name in channel_names(self.labels).items():
            channels[name] = self._premultiplied(shot.layers[label])
        path = self.names.at(self.names.sequence(Kind.EVERYTHING, suffix="exr"), shot.index)
        self.draft.put(path, exr(channels, self.header))

    def _opaque(self, image: Integers) -> NDArray[np.float16]:
        alpha = np.ones((*image.shape[:2], 1), np.float16)
        return np.concatenate([half(self.convert.values(image, peak=self.peak)), alpha], axis=-1)

    def _premultiplied(self, layer: Integers) -> NDArray[np.float16]:
        pixels = np.zeros((*layer.shape[:2], 4), np.float16)
        x, y, width, height = cv2.boundingRect((layer[..., 3] > 0).astype(np.uint8))
        seen = layer[y : y + height, x : x + width]
        if seen.size:  # A layer is empty nearly everywhere.
            alpha = seen[..., 3:].astype(np.float32) / np.float32(self.peak)
            color = self.convert.values(seen, peak=self.peak) * alpha
            pixels[y : y + height, x : x + width] = half(np.concatenate([color, alpha], axis=-1))
        return pixels
