"""What every way to solve a layer gives: its frames at working resolution, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.omnimatte.source import Views

Array = NDArray[np.float32]
View = tuple[Array, Array, Array, Array]
"""One frame of `Views`: solo, background [h, w, 3]; own, others [h, w]."""


class Layer(Protocol):
    """A solved layer."""

    def frame(self, t: int, view: View) -> tuple[Array, Array]:
        """Alpha [h, w] and straight colour [h, w, 3] of frame `t`, which `view` shows at working resolution."""


def each(views: Views) -> Iterator[View]:
    """The frames of a range."""
    return zip(views.solo, views.background, views.own, views.others, strict=True)
