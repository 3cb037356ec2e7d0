"""What goes into a network's file and what comes out, read from the file.

Must not know: any network, or who runs the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime

from services.engines.shapes import Profile, from_metadata
from services.errors import Internal, Unavailable


@dataclass(frozen=True)
class Tensor:
    """A float32 input or output. shape: length of every axis, None where it is free; the first axis is the batch."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """profile: the shapes that the file is meant for, by input."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    profile: Profile


def signature(path: Path) -> Signature:
    """The signature of the ONNX file at `path`. Raises Unavailable if it is not there, Internal if it is no graph."""
    if not path.is_file():
        raise Unavailable(f"the network {path.name} is not at {path}; install the package with its weights.")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors share no base class of their own
        raise Internal(f"the network {path.name} cannot be loaded ({error}); export it again.") from error
    return Signature(
        inputs=tuple(_tensor(part) for part in session.get_inputs()),
        outputs=tuple(_tensor(part) for part in session.get_outputs()),
        profile=from_metadata(session.get_modelmeta().custom_metadata_map),
    )


def model_name(network: str) -> str:
    """What the network is called as a model of a server."""
    return f"network-{network}"


def _tensor(part: Any) -> Tensor:
    return Tensor(str(part.name), tuple(length if isinstance(length, int) else None for length in part.shape))
