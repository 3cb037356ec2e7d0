"""Values that change over time: keyframes and what lies between them. Pure.

Must not know: what a value is for.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

EASES = ("linear", "smooth", "hold")
Value = tuple[float, ...]


@dataclass(frozen=True)
class Key:
    """`value` at `frame`; `ease`: the way from here to the next key, one of EASES."""

    frame: int
    value: Value
    ease: str = "linear"


@dataclass(frozen=True)
class Curve:
    """A value for every frame: keys in ascending order, at least one. Before the first and after the last it stays."""

    keys: tuple[Key, ...]

    def at(self, frame: float) -> Value:
        after = bisect_right([key.frame for key in self.keys], frame)
        if after == 0:
            return self.keys[0].value
        start = self.keys[after - 1]
        if after == len(self.keys) or start.ease == "hold":
            return start.value
        end = self.keys[after]
        share = (frame - start.frame) / (end.frame - start.frame)
        if start.ease == "smooth":
            share = share * share * (3 - 2 * share)
        return tuple(a + share * (b - a) for a, b in zip(start.value, end.value, strict=True))

    @property
    def span(self) -> tuple[int, int]:
        """First and last key."""
        return self.keys[0].frame, self.keys[-1].frame

    @property
    def ascending(self) -> bool:
        return all(a.frame < b.frame for a, b in pairwise(self.keys))

    def always(self, value: Value) -> bool:
        """Whether it is `value` at every frame."""
        return all(key.value == value for key in self.keys)


def constant(*value: float) -> Curve:
    """The same value always."""
    return Curve((Key(0, tuple(float(v) for v in value)),))
