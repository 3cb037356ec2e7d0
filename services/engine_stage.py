"""What the stages share whose work is one feed-forward network: its file is their weights, loaded once."""

from __future__ import annotations

from pathlib import Path

from services.engines import Network, OpenNetwork, open_here
from services.stage import Params, Stage
from services.weights import file_digest


class EngineStage(Stage):
    """A stage around the network in the file `weights`, which is called as the stage is."""

    def __init__(self, weights: Path, *, open_network: OpenNetwork = open_here) -> None:
        self._path = weights
        self._open = open_network
        self._network: Network | None = None

    def weights(self, params: Params) -> str:
        return file_digest(self._path)

    def load(self, params: Params) -> None:
        if self._network is None:
            self._network = self._open(self.name, self._path)

    @property
    def network(self) -> Network:
        """The network; `load` comes first, as `services.stage.execute` sees to."""
        assert self._network is not None
        return self._network
