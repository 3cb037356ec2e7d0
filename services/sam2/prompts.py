"""Which prompts the compact tracker takes: boxes and points, at least one for each object.

This module must not know how an object is found.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.errors import BadPrompt
from services.prompts import Prompt, check_pixels, checked_place


def check_prompts(prompts: Sequence[Prompt], *, shape: tuple[int, ...], labels: Sequence[str]) -> None:
    """Raises BadPrompt if a prompt cannot be meant for a clip of `shape` (T, H, W, 3) with the objects `labels`."""
    length, height, width = shape[:3]
    for prompt in prompts:
        where = checked_place(prompt, length=length, labels=labels)
        if (prompt.box is None) == (prompt.point is None):
            raise BadPrompt(f"{where}: a prompt is either a box or a point; give exactly one of them.")
        check_pixels(prompt, where, width=width, height=height)
    for index, label in enumerate(labels):
        if not any(p.object == index and (p.box is not None or p.positive) for p in prompts):
            raise BadPrompt(f"object {label} has no box and no positive point; give it one on any frame.")
