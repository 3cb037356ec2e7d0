"""One layer of an edit, ready to be painted: at every frame, which of its pictures, how it looks and where it goes.

Must not know: other layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.compose.edit import Change
from services.compose.look import blurred, colored, filtered
from services.compose.pictures import Integers, Pictures
from services.compose.place import Piece, Placement, cut, placed
from services.compose.retime import nearest


@dataclass(frozen=True)
class Element:
    """A layer and what happens to it.

    Attributes:
        label: its name in the edit.
        pictures: straight RGBA, `peak` 255 or 65535.
        change: what happens to it.
    """

    label: str
    pictures: Pictures
    peak: int
    change: Change

    def at(self, frame: int, *, width: int, height: int, peak: int) -> Piece | None:
        """What is seen of it in a picture of `width` x `height` with codes up to `peak`; None if nothing is."""
        change = self.change
        (opacity,) = change.opacity.at(frame)
        time = change.retime.at(frame, frames=self.pictures.frames)
        if time is None or opacity == 0:
            return None
        piece = cut(self._picture(time), peak=self.peak)
        if piece is None:
            return None
        if self.peak != peak:
            piece = Piece(piece.x, piece.y, piece.rgb * np.float32(peak / self.peak), piece.alpha)
        if change.style is not None and change.style.filter:
            piece = filtered(piece, change.style.filter, peak=peak)
        piece = colored(piece, change.look, frame, peak=peak)
        placement = self._placement(frame, piece)
        piece = blurred(piece, change.look.blur.at(frame)[0])
        if opacity != 1:
            piece = Piece(piece.x, piece.y, piece.rgb, piece.alpha * np.float32(opacity))
        return placed(piece, placement, width=width, height=height)

    def _placement(self, frame: int, piece: Piece) -> Placement:
        change = self.change
        move, scale = change.move.at(frame), change.scale.at(frame)
        anchor = change.anchor or piece.middle
        return Placement((move[0], move[1]), (scale[0], scale[1]), change.rotate.at(frame)[0], anchor)

    def _picture(self, time: float) -> Integers:
        first = int(time)
        share = time - first
        if not self.change.retime.blend or share < 1e-3:
            return self.pictures.read(min(nearest(time), self.pictures.frames - 1))
        return _mixed(self.pictures.read(first), self.pictures.read(first + 1), share)


@dataclass(frozen=True)
class Fitted:
    """Pictures of another clip, as high as this one's frame and in its middle."""

    inner: Pictures
    width: int
    height: int

    @property
    def frames(self) -> int:
        return self.inner.frames

    def read(self, index: int) -> Integers:
        image = self.inner.read(index)
        h, w = image.shape[:2]
        if (h, w) == (self.height, self.width):
            return image
        width = max(1, round(w * self.height / h))
        small = resized(image, width=width, height=self.height)
        result = np.zeros((self.height, self.width, 4), image.dtype)
        left = (self.width - width) // 2
        x0, x1 = max(0, left), min(self.width, left + width)
        result[:, x0:x1] = small[:, x0 - left : x1 - left]
        return result


def resized(image: Integers, *, width: int, height: int) -> Integers:
    """A straight RGBA picture at another size; colour is averaged where it is seen."""
    values = image.astype(np.float32)
    values[..., :3] *= values[..., 3:]
    shrinks = height < image.shape[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    scaled: NDArray[Any] = np.asarray(cv2.resize(values, (width, height), interpolation=how))
    peak = np.float32(np.iinfo(image.dtype).max)
    scaled[..., 3] = np.clip(scaled[..., 3], 0, peak)
    scaled[..., :3] /= np.maximum(scaled[..., 3:], np.float32(1e-3))
    return np.rint(np.clip(scaled, 0, peak)).astype(image.dtype)


def _mixed(first: Integers, second: Integers, share: float) -> Integers:
    """Two straight pictures, `share` of the way from one to the other."""
    a, b = first.astype(np.float32), second.astype(np.float32)
    alpha = a[..., 3:] + np.float32(share) * (b[..., 3:] - a[..., 3:])
    color = (1 - np.float32(share)) * a[..., :3] * a[..., 3:] + np.float32(share) * b[..., :3] * b[..., 3:]
    straight = np.concatenate([color / np.maximum(alpha, np.float32(1e-3)), alpha], axis=-1)
    return np.rint(np.clip(straight, 0, np.iinfo(first.dtype).max)).astype(first.dtype)
