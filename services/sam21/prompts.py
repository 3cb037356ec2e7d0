"""What a user may point at, and what each prompt means for the course of an object's track.

An object's track starts at the frame of the first prompt in the list that stands for itself (a box, a mask, a positive
point). A box or a mask on another frame states the whole object anew, and the model knows it from the beginning. Clicks
on other frames are corrections: they change what the track has become when it arrives there, and what follows.
This module must not know the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services import prompts as shared
from services.errors import BadPrompt
from services.prompts import Box, Point, check_pixels, checked_place


@dataclass(frozen=True, eq=False)
class Prompt(shared.Prompt):
    """A box, a point, or a mask: exactly one of them.

    Attributes:
        mask: [H, W], the object where it is not 0. Alone on its frame it is taken as it is; beside clicks or a box on
            the same frame it is a coarse one, which the model refines.
    """

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
    where = checked_place(prompt, length=length, labels=labels)
    if sum(given is not None for given in (prompt.box, prompt.point, prompt.mask)) != 1:
        raise BadPrompt(f"{where}: a prompt is a box, a point or a mask; give exactly one of them.")
    if prompt.mask is not None:
        _check_mask(prompt.mask, where, shape=(height, width))
    else:
        check_pixels(prompt, where, width=width, height=height)


def _check_mask(mask: NDArray[Any], where: str, *, shape: tuple[int, int]) -> None:
    if mask.shape != shape:
        given = "x".join(map(str, mask.shape[::-1]))
        raise BadPrompt(f"{where}: the mask is {given} pixels and the frame {shape[1]}x{shape[0]}; give one that fits.")
    if not np.any(mask):
        raise BadPrompt(f"{where}: the mask is empty; paint the object, or leave the mask out.")
