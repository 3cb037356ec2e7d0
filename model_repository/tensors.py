"""Arrays to Triton's tensors and back, through DLPack.

Triton's stub makes NumPy arrays by the memory layout of NumPy 1, and dies of them under NumPy 2 where they hold texts;
DLPack knows no such layout, and copies nothing. Runs only inside Triton's stub process.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

_CONSUMED = b"used_dltensor"  # the capsule keeps a pointer to it


def to_tensor(name: str, array: NDArray[Any]) -> Any:
    """The tensor `name` on the memory of `array`, which must be writable: DLPack exports no other."""
    capsule = np.ascontiguousarray(array).__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # The stub marks the capsule as consumed by a name that only it knows, at which NumPy prints an error for each.
    ctypes.pythonapi.PyCapsule_SetName(ctypes.py_object(capsule), _CONSUMED)
    return tensor


def to_array(tensor: Any) -> NDArray[Any]:
    """The array on the tensor's memory, which lives as long as the array; the tensor must lie in the CPU's memory."""
    return np.from_dlpack(tensor)
