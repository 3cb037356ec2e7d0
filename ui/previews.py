"""What is painted over a frame: masks in the objects' colours, points; and the mask that somebody painted.

Must not know: Gradio, or the API.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.errors import BadMask
from ui.session import Clip, Marks, Point

COLORS = (
    (255, 122, 26), (38, 150, 255), (80, 200, 90), (214, 80, 220),
    (240, 205, 40), (30, 200, 200), (240, 80, 100), (150, 120, 250),
)  # fmt: skip
"""One for each object that a job may have; told apart on most pictures, and by most eyes."""
_TINT = 0.45
Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]


def color_of(marks: Marks, label: str) -> tuple[int, int, int]:
    return COLORS[marks.labels.index(label) % len(COLORS)]


def mask_from_png(png: bytes) -> Image:
    """[H, W] of a grey PNG. Raises BadMask."""
    mask = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE) if png else None
    if mask is None:
        raise BadMask("the server sent a preview that is no picture; try again.")
    return np.asarray(mask, np.uint8)


def painted(frame: Image, marks: Marks, masks: Mapping[str, Image], *, index: int, scale: float) -> Image:
    """`frame` with the masks tinted and outlined, and the points of frame `index` on top."""
    height, width = frame.shape[:2]
    canvas = frame.astype(np.float32)
    thick = max(1, round(max(height, width) / 480))
    for label, mask in masks.items():
        if label not in marks.labels:
            continue
        color = np.array(color_of(marks, label), np.float32)
        small = mask if mask.shape == (height, width) else cv2.resize(mask, (width, height))
        inside = small[..., None] / np.float32(255)
        canvas += inside * _TINT * (color - canvas)
        outlines, _ = cv2.findContours((small > 127).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, outlines, -1, color.tolist(), thick, cv2.LINE_AA)
    result = np.ascontiguousarray(np.rint(np.clip(canvas, 0, 255)).astype(np.uint8))
    _draw_points(result, marks, marks.on(index), scale=scale)
    return result


def _draw_points(canvas: Image, marks: Marks, points: Iterable[Point], *, scale: float) -> None:
    radius = max(3, round(max(canvas.shape[:2]) / 110))
    for point in points:
        at = (round(point.x * scale), round(point.y * scale))
        color = color_of(marks, point.label)
        cv2.circle(canvas, at, radius + 2, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(canvas, at, radius, color if point.positive else (30, 30, 30), -1, cv2.LINE_AA)
        # A sign beside the colour, for who cannot tell colours apart.
        arm, thick = max(1, radius - 2), max(1, radius // 3)
        cv2.line(canvas, (at[0] - arm, at[1]), (at[0] + arm, at[1]), (255, 255, 255), thick, cv2.LINE_AA)
        if point.positive:
            cv2.line(canvas, (at[0], at[1] - arm), (at[0], at[1] + arm), (255, 255, 255), thick, cv2.LINE_AA)


def preserve_png(editor: Mapping[str, Any] | None, boxes: Iterable[Box], clip: Clip) -> bytes | None:
    """The mask of what was painted or boxed, a grey PNG of the clip's size; None when nothing was.

    editor: the value of an image editor: "layers", a list of [h, w, 4] or [h, w]. boxes: left, top, right, bottom.
    """
    mask = np.zeros((clip.height, clip.width), np.uint8)
    for layer in map(np.asarray, (editor or {}).get("layers") or []):
        alpha = layer[..., 3] if layer.ndim == 3 and layer.shape[2] == 4 else layer
        if alpha.ndim == 2:
            painted = (alpha > 0).astype(np.uint8) * 255
            full = cv2.resize(painted, (clip.width, clip.height), interpolation=cv2.INTER_NEAREST)
            mask[np.asarray(full) > 0] = 255
    for left, top, right, bottom in boxes:
        mask[top:bottom, left:right] = 255
    return bytes(cv2.imencode(".png", mask)[1]) if mask.any() else None
