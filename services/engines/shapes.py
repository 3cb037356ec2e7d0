"""The shapes that an exported network is meant for, as they travel in its file. Plain data.

Must not know: ONNX, PyTorch or TensorRT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from services.errors import Internal

PROFILE_KEY = "omnimatte.profile"
"""Name of the metadata entry of the ONNX file."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Shapes:
    """Least, usual and greatest shape of one input."""

    least: Shape
    usual: Shape
    most: Shape


Profile = Mapping[str, Shapes]
"""By input; empty for a network whose inputs have one shape only."""


def from_metadata(metadata: Mapping[str, str]) -> Profile:
    """The profile in a file's metadata; empty if it has none. Raises Internal if it is not in order."""
    try:
        content = json.loads(metadata.get(PROFILE_KEY, "{}"))
        found = {name: Shapes(*(tuple(int(n) for n in shape) for shape in shapes)) for name, shapes in content.items()}
        for shapes in found.values():
            if not _in_order(shapes):
                raise ValueError(f"{shapes} is not in order")
    except (ValueError, TypeError, AttributeError) as error:
        raise Internal(f"the shapes in the network's file are malformed ({error}); export it again.") from error
    return found


def _in_order(shapes: Shapes) -> bool:
    same_rank = len(shapes.least) == len(shapes.usual) == len(shapes.most)
    return same_rank and all(
        0 < low <= mid <= high for low, mid, high in zip(shapes.least, shapes.usual, shapes.most, strict=True)
    )
