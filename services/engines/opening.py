"""How a stage gets its network: by name, through one call that whoever makes the stage may replace.

In one process the network is ONNX Runtime's (`open_here`); in NVIDIA's container it is a model of the server, and the
model repository hands in a call of its own. The stage sees no difference.
Must not know: any server, or what a network computes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.engines.engine import Engine

Floats = NDArray[np.float32]


class Network(Protocol):
    """A network that is ready to run; raises a member of `services.errors` if it cannot."""

    def __call__(self, *inputs: Floats) -> Floats:
        """The first output for `inputs`, float32, in the order of the file's inputs; the first axis is the batch."""

    def run(self, *inputs: Floats) -> tuple[Floats, ...]:
        """As `__call__`, but all outputs."""


class OpenNetwork(Protocol):
    """What a stage is given to open its networks with."""

    def __call__(self, name: str, path: Path | None) -> Network:
        """The network `name`, whose graph is the ONNX file at `path`; None: where whoever opens it keeps its exports.

        Raises Unavailable if it is not there.
        """


def open_here(name: str, path: Path | None) -> Network:
    """The network in this process, on the device that `services.engines.providers` chooses, warmed up.

    Only for files that the package brings: what would have to be exported first runs in PyTorch here.
    """
    assert path is not None, name
    engine = Engine(path)
    engine.warm_up()
    return engine
