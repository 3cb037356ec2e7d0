"""Sizes: how native, working and base resolution follow from each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.errors import BadOption

BASE_SHORT_SIDE = 128
BASE_MULTIPLE = 16
MAX_BASE_ASPECT = 3.5
DEFAULT_LONG_SIDE = 640


def base_size(height: int, width: int) -> tuple[int, int]:
    """(h, w) of the paper's base resolution: short side 128, the long side in proportion, a multiple of 16.

    Extreme panoramas are squeezed to an aspect of 3.5, so that memory stays bounded.
    """
    aspect = min(max(height, width) / min(height, width), MAX_BASE_ASPECT)
    long = max(BASE_SHORT_SIDE, round(BASE_SHORT_SIDE * aspect / BASE_MULTIPLE) * BASE_MULTIPLE)
    return (BASE_SHORT_SIDE, long) if width >= height else (long, BASE_SHORT_SIDE)


def working_size(height: int, width: int, *, long_side: int) -> tuple[int, int]:
    """(h, w) of the layers: native size shrunk so that the long side is at most `long_side`, even, never enlarged."""
    scale = min(1.0, long_side / max(height, width))
    if scale == 1.0:
        return height, width
    return max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2)


def long_side_of(params: Mapping[str, Any]) -> int:
    """The `long_side` of a stage request. Raises BadOption if it is too small."""
    long_side = int(params.get("long_side", DEFAULT_LONG_SIDE))
    if long_side < 16:
        raise BadOption(f"a long side of {long_side} pixels is too small; choose 16 or more.", field="long_side")
    return long_side
