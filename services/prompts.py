"""A box around an object in a clip, or a point on or off it, and the sentences for one that cannot be meant.

Must not know: how an object is found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.errors import BadPrompt

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Prompt:
    """One hint for one object, in pixels of the full-size clip.

    Attributes:
        object: index of the object, from 0.
        frame: index of the frame that the hint is about.
        box: (x0, y0, x1, y1) around the object, x1 and y1 exclusive; or None.
        point: (x, y) of a pixel; or None.
        positive: for a point, whether it lies on the object.
    """

    object: int
    frame: int
    box: Box | None = None
    point: Point | None = None
    positive: bool = True


def checked_place(prompt: Prompt, *, length: int, labels: Sequence[str]) -> str:
    """Object and frame of a prompt as messages name them: "object cat, frame 3".

    Raises BadPrompt if a clip of `length` frames with the objects `labels` has no such frame or object.
    """
    if not 0 <= prompt.object < len(labels):
        raise BadPrompt(f"a prompt is for object {prompt.object}; number the {len(labels)} objects from 0.")
    where = f"object {labels[prompt.object]}, frame {prompt.frame}"
    if not 0 <= prompt.frame < length:
        raise BadPrompt(f"{where}: the clip has {length} frames; use a frame from 0 to {length - 1}.")
    return where


def check_pixels(prompt: Prompt, where: str, *, width: int, height: int) -> None:
    """Raises BadPrompt if box or point is empty, not finite, or outside the frame. where: see `checked_place`."""
    values = prompt.box or prompt.point or ()
    if not all(math.isfinite(value) for value in values):
        raise BadPrompt(f"{where}: {values} is not a place; give finite pixel coordinates.")
    size = f"the frame, which is {width}x{height} pixels"
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        if x1 <= x0 or y1 <= y0:
            raise BadPrompt(f"{where}: the box {prompt.box} is empty; give x0,y0,x1,y1 with x0 < x1 and y0 < y1.")
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            raise BadPrompt(f"{where}: the box {prompt.box} reaches outside {size}; keep it inside.")
    if prompt.point is not None:
        x, y = prompt.point
        if not (0 <= x < width and 0 <= y < height):
            raise BadPrompt(f"{where}: the point {prompt.point} lies outside {size}; put it inside.")
