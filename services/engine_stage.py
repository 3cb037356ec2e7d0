"""What the stages share whose work is one feed-forward network: its file is their weights, loaded once."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from services.engines import Engine
from services.stage import Params, Stage
from services.weights import file_digest


class EngineStage(Stage):
    """A stage around the network in the file `weights`; `warm_up` is the shape of a small input of it."""

    def __init__(self, weights: Path, *, warm_up: tuple[int, int, int, int]) -> None:
        self._path = weights
        self._warm_up = warm_up
        self._engine: Engine | None = None

    def weights(self, params: Params) -> str:
        return file_digest(self._path)

    def load(self, params: Params) -> None:
        if self._engine is None:
            self._engine = Engine(self._path)
            self._engine(np.zeros(self._warm_up, np.float32))

    @property
    def engine(self) -> Engine:
        """The network; `load` comes first, as `services.stage.execute` sees to."""
        assert self._engine is not None
        return self._engine
