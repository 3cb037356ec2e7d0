"""What a user may point at, and what each prompt means for the course of an object's track.

An object's track starts at the frame of the first prompt in the list that stands for itself (a box, a mask, a positive
point). A box or a mask on another frame states the whole object anew, and the model knows it from the beginning. Clicks
on other frames are corrections: they change what the track has become when it arrives there, and what follows.
This module must not know the model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.errors import BadPrompt

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Prompt:
    """One hint for one object, in pixels of the full-size clip. Exactly one of `box`, `point` and `mask` is given.

    Attributes:
        object: index of the object, from 0.
        frame: index of the frame that the hint is about.
        box: (x0, y0, x1, y1) around the object.
        point: (x, y) on the object, or, if not `positive`, off it.
        positive: for a point, whether it lies on the object.
        mask: [H, W], the object where it is not 0. Alone on its frame it is taken as it is; beside clicks or a box on
            the same frame it is a coarse one, which the model refines.
    """

    object: int
    frame: int
    box: Box | None = None
    point: Point | None = None
    positive: bool = True
    mask: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Hint:
    """All prompts for one object on one frame: points with True for positive, the box around all boxes, a mask."""

    points: tuple[tuple[Point, bool], ...] = ()
    box: Box | None = None
    mask: NDArray[Any] | None = None


@dataclass(frozen=True, eq=False)
class Course:
    """One object's track.

    Attributes:
        start: the frame from which it is followed in both directions of time.
        told: frames that state the object by themselves, `start` among them.
        corrections: frames whose clicks correct the track when it arrives there.
    """

    start: int
    told: Mapping[int, Hint]
    corrections: Mapping[int, Hint]


def courses(prompts: Sequence[Prompt], *, shape: tuple[int, ...], labels: Sequence[str]) -> list[Course]:
    """The course of each of the objects `labels` in a clip of `shape` (T, H, W, 3).

    Raises:
        BadPrompt: a prompt cannot be meant for this clip, or an object has none that states it.
    """
    for prompt in prompts:
        _check(prompt, shape, labels)
    return [_course([p for p in prompts if p.object == k], label) for k, label in enumerate(labels)]


def _course(prompts: Sequence[Prompt], label: str) -> Course:
    start = next((p.frame for p in prompts if p.point is None or p.positive), None)
    if start is None:
        raise BadPrompt(f"object {label} has no box, mask or positive point; give it one on any frame.")
    hints: dict[int, Hint] = {}
    for prompt in prompts:
        hints[prompt.frame] = _with(hints.get(prompt.frame, Hint()), prompt)
    told = {t: hint for t, hint in hints.items() if t == start or hint.box is not None or hint.mask is not None}
    return Course(start, told, {t: hint for t, hint in hints.items() if t not in told})


def _with(hint: Hint, prompt: Prompt) -> Hint:
    if prompt.point is not None:
        return replace(hint, points=(*hint.points, (prompt.point, prompt.positive)))
    if prompt.mask is not None:
        mask = np.asarray(prompt.mask) != 0
        return replace(hint, mask=mask if hint.mask is None else hint.mask | mask)
    assert prompt.box is not None
    if hint.box is None:
        return replace(hint, box=prompt.box)
    old, new = hint.box, prompt.box  # two boxes on one frame: parts of the object
    return replace(hint, box=(min(old[0], new[0]), min(old[1], new[1]), max(old[2], new[2]), max(old[3], new[3])))


def _check(prompt: Prompt, shape: tuple[int, ...], labels: Sequence[str]) -> None:
    length, height, width = shape[:3]
    if not 0 <= prompt.object < len(labels):
        raise BadPrompt(f"a prompt is for object {prompt.object}; number the {len(labels)} objects from 0.")
    where = f"object {labels[prompt.object]}, frame {prompt.frame}"
    if not 0 <= prompt.frame < length:
        raise BadPrompt(f"{where}: the clip has {length} frames; use a frame from 0 to {length - 1}.")
    if sum(given is not None for given in (prompt.box, prompt.point, prompt.mask)) != 1:
        raise BadPrompt(f"{where}: a prompt is a box, a point or a mask; give exactly one of them.")
    size = f"the frame, which is {width}x{height} pixels"
    if prompt.mask is not None:
        _check_mask(prompt.mask, where, shape=(height, width))
    elif not all(math.isfinite(value) for value in prompt.box or prompt.point or ()):
        raise BadPrompt(f"{where}: {prompt.box or prompt.point} is not a place; give finite pixel coordinates.")
    if prompt.box is not None:
        x0, y0, x1, y1 = prompt.box
        if x1 <= x0 or y1 <= y0:
            raise BadPrompt(f"{where}: the box {prompt.box} is empty; give x0,y0,x1,y1 with x0 < x1 and y0 < y1.")
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            raise BadPrompt(f"{where}: the box {prompt.box} reaches outside {size}; keep it inside.")
    if prompt.point is not None and not (0 <= prompt.point[0] < width and 0 <= prompt.point[1] < height):
        raise BadPrompt(f"{where}: the point {prompt.point} lies outside {size}; put it inside.")


def _check_mask(mask: NDArray[Any], where: str, *, shape: tuple[int, int]) -> None:
    if mask.shape != shape:
        given = "x".join(map(str, mask.shape[::-1]))
        raise BadPrompt(f"{where}: the mask is {given} pixels and the frame {shape[1]}x{shape[0]}; give one that fits.")
    if not np.any(mask):
        raise BadPrompt(f"{where}: the mask is empty; paint the object, or leave the mask out.")
