"""The part of a frame that is worked on. Pure.

Must not know: pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

ASIDE, ABOVE, BELOW = 0.5, 0.3, 0.7
"""Room around the objects, as shares of their box: shadows and reflections mostly lie below and aside."""
LEAST = 0.06
"""Room on every side, as a share of the frame's longer side, however small the objects are."""
WHOLE = 0.7
"""Share of the frame from which on all of it is taken."""
LARGE = 1.25
"""A frame is large when its longer side is so many times the longest that layers may have."""


@dataclass(frozen=True)
class Box:
    """Columns [x0, x1) and rows [y0, y1) of a frame."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    def union(self, other: Box) -> Box:
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def to_json(self) -> list[int]:
        return [self.x0, self.y0, self.x1, self.y1]


def region(objects: Box | None, *, width: int, height: int, long_side: int) -> Box:
    """What is worked on of a `width` x `height` frame whose objects stay within `objects`.

    The whole frame where it is not large, where there is nothing to go by, or where little would be saved. Else sides
    are even, so that 4:2:0 video of the region would have whole chroma samples.
    """
    whole = Box(0, 0, width, height)
    if objects is None or max(width, height) <= LARGE * long_side:
        return whole
    least = LEAST * max(width, height)
    box = Box(
        math.floor(objects.x0 - max(least, ASIDE * objects.width)) // 2 * 2,
        math.floor(objects.y0 - max(least, ABOVE * objects.height)) // 2 * 2,
        -(-math.ceil(objects.x1 + max(least, ASIDE * objects.width)) // 2) * 2,
        -(-math.ceil(objects.y1 + max(least, BELOW * objects.height)) // 2) * 2,
    )
    inside = Box(max(0, box.x0), max(0, box.y0), min(width, box.x1), min(height, box.y1))
    return whole if inside.width * inside.height >= WHOLE * width * height else inside


def working_size(box: Box, *, long_side: int) -> tuple[int, int]:
    """Height and width at which `box` is worked on: at most `long_side` along its longer side, never enlarged."""
    scale = min(1.0, long_side / max(box.width, box.height))
    return max(1, round(box.height * scale)), max(1, round(box.width * scale))
