"""A network as a Triton model of the Python backend: what the onnxruntime backend does in NVIDIA's container.

Beside it lie `model.onnx` and `batches`, where each call leaves the batch sizes of the requests that it got together.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from model_repository.tensors import to_array, to_tensor
from services.engines import Engine

HERE = Path(__file__).parent


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._engine = Engine(HERE / "model.onnx")

    def execute(self, requests: list[Any]) -> list[Any]:
        """All requests that Triton hands over at once, as one batch."""
        inputs = [
            [to_array(pb_utils.get_input_tensor_by_name(request, name)) for request in requests]
            for name in self._engine.input_names
        ]
        sizes = [len(part) for part in inputs[0]]
        with (HERE / "batches").open("a") as file:
            file.write(f"{sizes}\n")
        outputs = self._engine.run(*(np.concatenate(parts) for parts in inputs))
        ends = np.cumsum(sizes)[:-1]
        parts = zip(*(np.split(output, ends) for output in outputs), strict=True)
        return [
            pb_utils.InferenceResponse(
                [to_tensor(name, part) for name, part in zip(self._engine.output_names, own, strict=True)]
            )
            for own in parts
        ]
