"""One attempt at a request: what it tells of itself, and what it leaves for the next one.

Must not know: how a layer is solved.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from services.stage import Work

Array = NDArray[np.float32]
State = dict[str, Any]
_PREVIEW_SECONDS = 3.0
_PREVIEW_WIDTH = 128


class Attempt:
    """Counts the steps of a run, stops it when somebody asked to, and saves its state now and then."""

    def __init__(self, work: Work, *, total: int, every: int) -> None:
        """total: steps in all. every: optimisation steps between two saved states."""
        self._work, self._total, self._every = work, total, every
        self._done = self._unsaved = 0
        self._losses: Mapping[str, float] = {}
        self._preview, self._shown = b"", time.monotonic()

    def advance(self, note: str, *, steps: int = 1) -> None:
        """`steps` more are done. Raises Cancelled."""
        self._work.check()
        self._done = min(self._done + steps, self._total)
        # The latest picture goes with every report: only the newest of several reports may arrive.
        self._work.progress(self._done, self._total, note, losses=self._losses, preview=self._preview)

    def iterated(
        self,
        note: str,
        *,
        losses: Mapping[str, float],
        state: Callable[[], State],
        layer: Callable[[], tuple[Array, Array]],
    ) -> None:
        """One optimisation step is done. Raises Cancelled.

        losses: of the step, by term. state: makes what to go on from. layer: makes alpha and colour of one frame, to be
        shown every few seconds.
        """
        self._losses = losses
        if time.monotonic() - self._shown > _PREVIEW_SECONDS:
            self._preview, self._shown = preview(*layer()), time.monotonic()
        self._unsaved += 1
        if self._unsaved >= self._every:
            self.save(state())
        self.advance(note)

    def save(self, state: State) -> None:
        """Keep `state`: dicts and lists of tensors, numbers and text."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        self._work.checkpoint.save(buffer.getvalue())
        self._unsaved = 0

    def saved(self) -> State | None:
        """What an earlier attempt has kept. Loads tensors, numbers and text, never code."""
        data = self._work.checkpoint.load()
        return None if data is None else dict(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))


def preview(alpha: Array, colour: Array) -> bytes:
    """A layer's frame (alpha [h, w], straight colour [h, w, 3], 0..1) as a small WebP picture, about 2 KB."""
    height, width = alpha.shape
    rgba = np.concatenate([colour[..., ::-1], alpha[..., None]], axis=-1)
    size = (min(width, _PREVIEW_WIDTH), max(1, height * min(width, _PREVIEW_WIDTH) // width))
    small = cv2.resize((rgba * 255 + 0.5).astype(np.uint8), size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".webp", small, [cv2.IMWRITE_WEBP_QUALITY, 70])[1].tobytes()
