"""A feed-forward network as a file: an ONNX graph in, arrays through it, by ONNX Runtime in this process.

Every small network is exported once and from then on is a file with a digest; the stages that use one need no
deep-learning framework. It runs on the device that `services.engines.providers` chooses.
Must not know: what a network computes, or which stage asks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.engines.providers import Provider, chosen
from services.engines.shapes import from_metadata
from services.errors import Internal, Unavailable

Floats = NDArray[np.float32]

THREADS_VARIABLE = "OMNIMATTE_THREADS"


def threads() -> int:
    """Threads for one operator, from OMNIMATTE_THREADS; 1 by default, because stages already run side by side."""
    try:
        return max(1, int(os.environ.get(THREADS_VARIABLE, "1")))
    except ValueError:
        return 1


class Engine:
    """One loaded network: float32 arrays in, arrays out. Heights and widths may differ from call to call."""

    def __init__(self, path: Path, *, providers: Sequence[Provider] | None = None) -> None:
        """Load the graph at `path`; `providers`: of ONNX Runtime, by default what the setting says.

        Raises:
            Unavailable: the file is missing, which means that the weights were not installed, or the device is.
            Internal: the file is there but is no graph that this runtime understands.
        """
        if not path.is_file():
            raise Unavailable(
                f"the network {path.name} is not at {path}; install the package with its weights, or export them again."
            )
        used = chosen(path) if providers is None else providers
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.inter_op_num_threads = 1
        # Sizes change between clips: an arena would keep the memory of the largest one for good.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=list(used))
        except Exception as error:  # the runtime's errors share no base class of their own
            raise Internal(f"the network {path.name} cannot be loaded ({error}); export it again.") from error
        self._outputs = [str(part.name) for part in self._session.get_outputs()]

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(str(part.name) for part in self._session.get_inputs())

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(self._outputs)

    def warm_up(self) -> None:
        """Run once at the least shapes that the file is meant for; does nothing if the file names none."""
        profile = from_metadata(self._session.get_modelmeta().custom_metadata_map)
        if profile:
            self.run(*(np.zeros(profile[name].least, np.float32) for name in self.input_names))

    def __call__(self, *inputs: Floats) -> Floats:
        """Run once on `inputs` (float32, [B, C, H, W], in the order of `input_names`); returns the first output."""
        return self._run(self._outputs[:1], inputs)[0]

    def run(self, *inputs: Floats) -> tuple[Floats, ...]:
        """As `__call__`, but returns all outputs, in the order of `output_names`."""
        return self._run(self._outputs, inputs)

    def _run(self, names: list[str], inputs: tuple[Floats, ...]) -> tuple[Floats, ...]:
        feed = {
            name: np.ascontiguousarray(value, dtype=np.float32)
            for name, value in zip(self.input_names, inputs, strict=True)
        }
        return tuple(np.asarray(value, np.float32) for value in self._session.run(names, feed))
