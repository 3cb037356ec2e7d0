"""Feed-forward networks as files: an ONNX graph in, arrays through it.

Every small network is exported once by training and from then on is a file with a digest; the stages that use one need
no deep-learning framework. ONNX Runtime runs the graph on the CPU; an engine for another device only has to offer the
same call. Must not know: what a network computes, or which stage asks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.errors import Internal, Unavailable

Floats = NDArray[np.float32]

THREADS_VARIABLE = "OMNIMATTE_THREADS"
_CPU = ("CPUExecutionProvider",)


def threads() -> int:
    """Threads for one operator, from OMNIMATTE_THREADS; 1 by default, because stages already run side by side."""
    try:
        return max(1, int(os.environ.get(THREADS_VARIABLE, "1")))
    except ValueError:
        return 1


class Engine:
    """One loaded network: float32 arrays in, its first output out. Heights and widths may differ from call to call."""

    def __init__(self, path: Path, *, providers: Sequence[str] = _CPU) -> None:
        """Load the graph at `path`.

        Raises:
            Unavailable: the file is missing, which means that the weights were not installed.
            Internal: the file is there but is no graph that this runtime understands.
        """
        if not path.is_file():
            raise Unavailable(
                f"the network {path.name} is not at {path}; install the package with its weights, or export them again."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        # Sizes change between clips: an arena would keep the memory of the largest one for good.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        except Exception as error:  # the runtime's errors share no base class of their own
            raise Internal(f"the network {path.name} cannot be loaded ({error}); export it again.") from error
        self._output = self._session.get_outputs()[0].name

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(str(part.name) for part in self._session.get_inputs())

    def __call__(self, *inputs: Floats) -> Floats:
        """Run once on `inputs` (float32, [B, C, H, W], in the order of `input_names`); returns the first output."""
        feed = {
            name: np.ascontiguousarray(value, dtype=np.float32)
            for name, value in zip(self.input_names, inputs, strict=True)
        }
        return np.asarray(self._session.run([self._output], feed)[0], np.float32)
