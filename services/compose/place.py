"""Where a layer's picture goes: moved, scaled and rotated, only where something of it is seen.

Must not know: colours' meaning, or time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # float32; numpy's stubs widen it at every step
Integers = NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """A rectangle of a layer.

    Attributes:
        x, y: its upper left corner in the layer's own frame, or in the picture; may be outside of it.
        rgb: [h, w, 3] float32, codes. alpha: [h, w, 1] float32, 0..1. Straight.
    """

    x: int
    y: int
    rgb: Floats
    alpha: Floats

    @property
    def middle(self) -> tuple[float, float]:
        """Of the rectangle."""
        height, width = self.alpha.shape[:2]
        return self.x + width / 2, self.y + height / 2


@dataclass(frozen=True)
class Placement:
    """Similar to what an artist's transform node has: `move` right and down, `scale` across and down and `rotate`
    degrees clockwise, both about `anchor`; pixels of the layer's frame."""

    move: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)
    rotate: float = 0.0
    anchor: tuple[float, float] = (0.0, 0.0)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 3]: from the layer's coordinates to the picture's."""
        turn = math.radians(self.rotate)
        cos, sin = math.cos(turn), math.sin(turn)
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag(self.scale)
        anchor = np.array(self.anchor)
        return np.column_stack([linear, anchor + np.array(self.move) - linear @ anchor])

    @property
    def shift(self) -> tuple[int, int] | None:
        """Whole pixels by which it only moves; None if it does more."""
        x, y = self.move
        whole = x == round(x) and y == round(y)
        return (round(x), round(y)) if whole and self.scale == (1.0, 1.0) and self.rotate % 360 == 0 else None


def cut(rgba: Integers, *, peak: int) -> Piece | None:
    """What is seen of a straight layer [H, W, 4] of codes; None if nothing is."""
    x, y, width, height = cv2.boundingRect((rgba[..., 3] > 0).astype(np.uint8))
    if width == 0:
        return None
    seen = rgba[y : y + height, x : x + width]
    return Piece(x, y, seen[..., :3].astype(np.float32), seen[..., 3:].astype(np.float32) * np.float32(1 / peak))


def padded(piece: Piece, by: int) -> Piece:
    """With `by` invisible pixels on every side, of the colour that the edge has."""
    sides = ((by, by), (by, by), (0, 0))
    return Piece(piece.x - by, piece.y - by, np.pad(piece.rgb, sides, mode="edge"), np.pad(piece.alpha, sides))


def placed(piece: Piece, placement: Placement, *, width: int, height: int) -> Piece | None:
    """`piece` as it lies in a picture of `width` x `height`, cut to it; None if nothing of it is inside.

    Colour is averaged where alpha is, so that nothing invisible bleeds in.
    """
    if placement.shift is not None:
        dx, dy = placement.shift
        return _inside(Piece(piece.x + dx, piece.y + dy, piece.rgb, piece.alpha), width=width, height=height)
    piece, placement = _shrunk(piece, placement)
    matrix = placement.matrix
    h, w = piece.alpha.shape[:2]
    corners = np.array([(x, y, 1) for x in (piece.x, piece.x + w) for y in (piece.y, piece.y + h)]) @ matrix.T
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 1
    low, high = np.maximum(low, 0), np.minimum(high, (width, height))
    if np.any(high <= low):
        return None
    # Pixel centres lie at half coordinates on both sides.
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ np.array([piece.x + 0.5, piece.y + 0.5]) - low - 0.5
    packed = np.concatenate([piece.rgb * piece.alpha, piece.alpha], axis=-1)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    warped = np.asarray(cv2.warpAffine(packed, local, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT))
    alpha = warped[..., 3:]
    return Piece(int(low[0]), int(low[1]), warped[..., :3] / np.maximum(alpha, np.float32(1e-6)), alpha)


def blend(picture: Floats, piece: Piece) -> None:
    """Paint `piece` over the opaque `picture` [H, W, 3] of codes, in place."""
    h, w = piece.alpha.shape[:2]
    under = picture[piece.y : piece.y + h, piece.x : piece.x + w]
    under += piece.alpha * (piece.rgb - under)


def blend_clear(picture: Floats, piece: Piece) -> None:
    """Paint `piece` over `picture` [H, W, 4], in place: premultiplied codes, alpha 0..1."""
    h, w = piece.alpha.shape[:2]
    under = picture[piece.y : piece.y + h, piece.x : piece.x + w]
    under *= 1 - piece.alpha
    under[..., :3] += piece.alpha * piece.rgb
    under[..., 3:] += piece.alpha


def _inside(piece: Piece, *, width: int, height: int) -> Piece | None:
    h, w = piece.alpha.shape[:2]
    x0, y0 = max(0, piece.x), max(0, piece.y)
    x1, y1 = min(width, piece.x + w), min(height, piece.y + h)
    if x1 <= x0 or y1 <= y0:
        return None
    rows, columns = slice(y0 - piece.y, y1 - piece.y), slice(x0 - piece.x, x1 - piece.x)
    return Piece(x0, y0, piece.rgb[rows, columns], piece.alpha[rows, columns])


def _shrunk(piece: Piece, placement: Placement) -> tuple[Piece, Placement]:
    """The same picture made of fewer pixels, where it will be less than half as large: a warp would skip some."""
    factor = min(max(abs(s) for s in placement.scale) * 1.0, 1.0)
    if factor > 0.5:
        return piece, placement
    h, w = piece.alpha.shape[:2]
    width, height = max(1, round(w * factor)), max(1, round(h * factor))
    packed = np.concatenate([piece.rgb * piece.alpha, piece.alpha], axis=-1)
    small = np.asarray(cv2.resize(packed, (width, height), interpolation=cv2.INTER_AREA)).reshape(height, width, 4)
    fx, fy = width / w, height / h
    x, y = piece.x * fx, piece.y * fy
    left, top = math.floor(x), math.floor(y)
    alpha = small[..., 3:]
    less = Piece(left, top, small[..., :3] / np.maximum(alpha, np.float32(1e-6)), alpha)
    anchor = (placement.anchor[0] * fx, placement.anchor[1] * fy)
    # The corner was rounded, and the anchor is in the small picture's pixels now: the move makes up for both.
    scale = (placement.scale[0] / fx, placement.scale[1] / fy)
    wanted = placement.matrix @ np.array([piece.x, piece.y, 1.0])
    got = Placement((0.0, 0.0), scale, placement.rotate, anchor).matrix @ np.array([left, top, 1.0])
    return less, Placement((wanted[0] - got[0], wanted[1] - got[1]), scale, placement.rotate, anchor)
