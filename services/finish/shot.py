"""One finished frame with everything that can be delivered of it, and what writes it.

Must not know: file formats, or how a frame was finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.finish.sources import Floats, Integers


@dataclass(frozen=True)
class Shot:
    """One frame.

    Attributes:
        index: its number, from 0.
        background: [H, W, 3], the clip's integer type.
        layers: label -> RGBA [H, W, 4] straight, same type; those to deliver.
        masks: label -> [H, W] bool, where the object is seen; every object of the job.
        depth: [h, w] float, 0 far .. 1 near, at the depth model's size; None where nobody asked for it.
    """

    index: int
    background: Integers
    layers: Mapping[str, Integers]
    masks: Mapping[str, NDArray[np.bool_]]
    depth: Floats | None = None


class Writer(Protocol):
    """Takes frames, in order."""

    def write(self, shot: Shot) -> None: ...
