"""How a layer looks: colour, blur, and the built-in styles. Straight colour, float32 codes.

Must not know: time, or where the layer goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.compose.edit import Look
from services.compose.place import Piece, padded

Floats = NDArray[Any]  # float32; numpy's stubs widen it at every step
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def colored(piece: Piece, look: Look, frame: float, *, peak: int) -> Piece:
    """`piece` with the look's colour at `frame`: exposure, contrast about middle grey, saturation, hue, tint."""
    rgb = piece.rgb
    (exposure,), (contrast,) = look.exposure.at(frame), look.contrast.at(frame)
    (saturation,), (hue,) = look.saturation.at(frame), look.hue.at(frame)
    gain = np.float32(2.0**exposure) * np.array(look.tint, np.float32)
    if np.any(gain != 1.0):
        rgb = rgb * gain
    if contrast != 1.0:
        middle = np.float32(0.5 * peak)
        rgb = (rgb - middle) * np.float32(contrast) + middle
    if saturation != 1.0 or hue % 360 != 0.0:
        rgb = rgb @ _turned(saturation, hue).T
    return piece if rgb is piece.rgb else Piece(piece.x, piece.y, np.clip(rgb, 0.0, np.float32(peak)), piece.alpha)


def blurred(piece: Piece, sigma: float) -> Piece:
    """`piece` softened by a Gaussian, with the room that it needs."""
    if sigma <= 0:
        return piece
    piece = padded(piece, math.ceil(3 * sigma))
    packed = np.concatenate([piece.rgb * piece.alpha, piece.alpha], axis=-1)
    soft = np.asarray(cv2.GaussianBlur(packed, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT))
    alpha = soft[..., 3:]
    return Piece(piece.x, piece.y, soft[..., :3] / np.maximum(alpha, np.float32(1e-6)), alpha)


def filtered(piece: Piece, name: str, *, peak: int) -> Piece:
    """`piece` in one of the built-in styles (services.compose.edit.FILTERS)."""
    codes = np.rint(np.clip(piece.rgb * np.float32(255 / peak), 0, 255)).astype(np.uint8)
    styled = _FILTERS[name](codes)
    return Piece(piece.x, piece.y, styled.astype(np.float32) * np.float32(peak / 255), piece.alpha)


def _turned(saturation: float, hue: float) -> NDArray[np.float32]:
    """[3, 3]: saturation about luma, and a turn about the grey axis by `hue` degrees."""
    grey = np.outer(np.ones(3), _LUMA)
    pull = grey + saturation * (np.eye(3) - grey)
    turn = math.radians(hue)
    cos, sin, third = math.cos(turn), math.sin(turn), 1 / 3
    cross = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    about = cos * np.eye(3) + (1 - cos) * third * np.ones((3, 3)) + sin * cross
    matrix: NDArray[np.float32] = (about @ pull).astype(np.float32)
    return matrix


def _cartoon(image: NDArray[np.uint8]) -> NDArray[Any]:
    flat = image
    for _ in range(2):
        flat = np.asarray(cv2.bilateralFilter(flat, 7, 40, 7))
    steps = np.rint(flat.astype(np.float32) / 32) * 32
    return np.clip(steps - _lines(image)[..., None] * 160, 0, 255)


def _edges(image: NDArray[np.uint8]) -> NDArray[Any]:
    return 255 - _lines(image)[..., None] * np.full(3, 255, np.float32)


def _lines(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W] 0..1, strong where brightness changes."""
    grey = np.asarray(cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)).astype(np.float32)
    slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return np.clip((slope - 40) / 80, 0, 1).astype(np.float32)


def _pixelate(image: NDArray[np.uint8]) -> NDArray[Any]:
    height, width = image.shape[:2]
    cell = max(4, max(height, width) // 24)
    small = cv2.resize(image, (max(1, width // cell), max(1, height // cell)), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST))


def _posterize(image: NDArray[np.uint8]) -> NDArray[Any]:
    return np.rint(image.astype(np.float32) / 85) * 85


_FILTERS: Mapping[str, Callable[[NDArray[np.uint8]], NDArray[Any]]] = {
    "cartoon": _cartoon,
    "edges": _edges,
    "pixelate": _pixelate,
    "posterize": _posterize,
}
