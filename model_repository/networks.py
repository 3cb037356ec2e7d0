"""Networks that are models of this server, for the stages that run in it: the same call as in one process.

A stage's request goes through Triton (business logic scripting), so that the network's model may batch it with those
of other instances and jobs, and may be of any backend.

    OMNIMATTE_NETWORKS   triton: the models `network-<name>` of this server; here (default): ONNX Runtime in the stage

Must not know: what a network computes, or which stage asks. Runs only inside Triton's stub process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from model_repository.tensors import to_array, to_tensor
from services.engines import Engine, Network, OpenNetwork, open_here
from services.engines.signature import model_name, signature
from services.errors import BadOption, Cancelled, Internal, Unavailable

NETWORKS_VARIABLE = "OMNIMATTE_NETWORKS"
SETTINGS = ("here", "triton")

Floats = NDArray[np.float32]


def configured() -> OpenNetwork:
    """The way to open networks that this process's setting names. Raises BadOption."""
    setting = os.environ.get(NETWORKS_VARIABLE, "") or "here"
    if setting not in SETTINGS:
        raise BadOption(f"{NETWORKS_VARIABLE} is {setting!r}; use {' or '.join(SETTINGS)}.")
    return open_here if setting == "here" else open_served


def open_served(name: str, path: Path) -> Network:
    """The network `name` as the model of this server that serves it; the file at `path` names its tensors."""
    return ServedNetwork(name, path)
