"""What a user may point at, and the sentences for what cannot be meant.

A prompt is a box around one object or a point on (or, negative, off) it, on any frame, in pixels of the full-size clip.
This module must not know how an object is found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from services.errors import BadPrompt

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class Prompt:
    """One hint for one object.

    Attributes:
        object: index of the object, from 0.
        frame: index of the frame that the hint is about.
        box: (x0, y0, x1, y1) around the object, x1 and y1 exclusive; or None.
        point: (x, y) of a pixel; or None. Exactly one of `box` and `point` is given.
        positive: for a point, whether it lies on the object.
    """

    object: int
    frame: int
    box: Box | None = None
    point: Point | None = None
    positive: bool = True


def check_prompts(prompts: Sequence[Prompt], *, shape: tuple[int, ...], labels: Sequence[str]) -> None:
    """Raises BadPrompt if a prompt cannot be meant for a clip of `shape` (T, H, W, 3) with the objects `labels`."""
    for prompt in prompts:
        _check(prompt, shape, labels)
    for index, label in enumerate(labels):
        if not any(p.object == index and (p.box is not None or p.positive) for p in prompts):
            raise BadPrompt(f"object {label} has no box and no positive point; give it one on any frame.")


def _check(prompt: Prompt, shape: tuple[int, ...], labels: Sequence[str]) -> None:
    length, height, width = shape[:3]
    if not 0 <= prompt.object < len(labels):
        raise BadPrompt(f"a prompt is for object {prompt.object}; number the {len(labels)} objects from 0.")
    where = f"object {labels[prompt.object]}, frame {prompt.frame}"
    if not 0 <= prompt.frame < length:
        raise BadPrompt(f"{where}: the clip has {length} frames; use a frame from 0 to {length - 1}.")
    if (prompt.box is None) == (prompt.point is None):
        raise BadPrompt(f"{where}: a prompt is either a box or a point; give exactly one of them.")
    values = prompt.box if prompt.box is not None else prompt.point or ()
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
