"""One attempt at a request: what it tells of itself, and what it leaves for the next one.

Must not know: how a layer is solved.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch

from services.stage import Work

State = dict[str, Any]


class Attempt:
    """Counts the steps of a run, stops it when somebody asked to, and saves its state now and then."""

    def __init__(self, work: Work, *, total: int, every: int) -> None:
        """total: steps in all. every: optimisation steps between two saved states."""
        self._work, self._total, self._every = work, total, every
        self._done = self._unsaved = 0

    def advance(self, note: str, *, steps: int = 1) -> None:
        """`steps` more are done. Raises Cancelled."""
        self._work.check()
        self._done = min(self._done + steps, self._total)
        self._work.progress(self._done, self._total, note)

    def iterated(self, note: str, *, loss: float, state: Callable[[], State]) -> None:
        """One optimisation step is done, and `state()` is what to go on from. Raises Cancelled."""
        self._unsaved += 1
        if self._unsaved >= self._every:
            self.save(state())
        self.advance(f"{note}, loss {loss:.5f}")

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
