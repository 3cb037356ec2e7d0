"""Networks that are models of this server, for the stages that run in it: the same call as in one process.

A stage's request goes through Triton (business logic scripting), so that the network's model may batch it with those
of other instances and jobs, and may be of any backend.

    OMNIMATTE_NETWORKS   triton: the models `network-<name>` of this server; here (default): in the stage itself

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
from services.engines import Network, OpenNetwork
from services.engines.networks import graph_of
from services.engines.signature import model_name, signature
from services.errors import BadOption, Cancelled, Internal, Unavailable

NETWORKS_VARIABLE = "OMNIMATTE_NETWORKS"
SETTINGS = ("here", "triton")

Floats = NDArray[np.float32]


def configured() -> OpenNetwork | None:
    """The way to open networks that this process's setting names; None: the stages' own. Raises BadOption."""
    setting = os.environ.get(NETWORKS_VARIABLE, "") or "here"
    if setting not in SETTINGS:
        raise BadOption(f"{NETWORKS_VARIABLE} is {setting!r}; use {' or '.join(SETTINGS)}.")
    return None if setting == "here" else open_served


def open_served(name: str, path: Path | None) -> Network:
    """The network `name` as the model of this server that serves it; its file, here only, names its tensors."""
    return ServedNetwork(name, path or graph_of(name))


class ServedNetwork:
    """See `services.engines.Network`. One request at a time and as large as the caller makes it."""

    def __init__(self, name: str, path: Path) -> None:
        made = signature(path)
        self._model = model_name(name)
        self._inputs = [part.name for part in made.inputs]
        self._outputs = [part.name for part in made.outputs]

    def __call__(self, *inputs: Floats) -> Floats:
        return self._run(self._outputs[:1], inputs)[0]

    def run(self, *inputs: Floats) -> tuple[Floats, ...]:
        return self._run(self._outputs, inputs)

    def _run(self, names: list[str], inputs: tuple[Floats, ...]) -> tuple[Floats, ...]:
        request = pb_utils.InferenceRequest(
            model_name=self._model,
            requested_output_names=names,
            inputs=[to_tensor(name, _writable(value)) for name, value in zip(self._inputs, inputs, strict=True)],
            preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
        )
        try:
            response = request.exec()
        except pb_utils.TritonModelException as error:
            raise self._failure(str(error), None) from error
        if response.has_error():
            raise self._failure(response.error().message(), response.error().code())
        # A copy: the tensors' memory is Triton's, and small.
        return tuple(np.array(to_array(pb_utils.get_output_tensor_by_name(response, name))) for name in names)

    def _failure(self, said: str, code: Any) -> Unavailable | Cancelled | Internal:
        if code == pb_utils.TritonError.CANCELLED:
            return Cancelled(f"{self._model} was cancelled; send the job again to resume.")
        if code == pb_utils.TritonError.UNAVAILABLE or "not found" in said or "not ready" in said:
            return Unavailable(
                f"this server does not serve {self._model} ({said}); write its model with `omnimatte engines build "
                f"--repository DIR` and load it, or set {NETWORKS_VARIABLE} to here."
            )
        return Internal(f"{self._model} failed: {said}")


def _writable(value: Floats) -> Floats:
    array = np.ascontiguousarray(value, dtype=np.float32)
    return array if array.flags.writeable else array.copy()
