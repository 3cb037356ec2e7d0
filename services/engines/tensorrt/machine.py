"""What TensorRT's engines depend on: the GPU, its driver, and the libraries. Read without a CUDA context.

Must not know: engines, networks, or where engines are kept.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

from services.errors import Unavailable

_QUERY = ("--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader")
_LIBRARIES = ("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "onnxruntime-gpu", "onnxruntime")

_ADVICE = "build and use TensorRT engines on the machine with the GPU, or set OMNIMATTE_PROVIDER to 'cpu'"


@dataclass(frozen=True)
class Machine:
    """gpu: its model. driver: version. capability: "9.0". libraries: (package, version) of what is installed."""

    gpu: str
    driver: str
    capability: str
    libraries: tuple[tuple[str, str], ...]


def read_machine(ask: Callable[[], str] | None = None, version: Callable[[str], str] = metadata.version) -> Machine:
    """This machine's first GPU. `ask` answers as nvidia-smi does; `version` as importlib.metadata does.

    Raises Unavailable, saying that a GPU is needed, if there is none.
    """
    lines = (ask or _nvidia_smi)().strip().splitlines()
    parts = [part.strip() for part in lines[0].split(",")] if lines else []
    if len(parts) != 3:
        raise Unavailable(f"TensorRT needs an NVIDIA GPU, and nvidia-smi names none; {_ADVICE}.")
    return Machine(parts[0], parts[1], parts[2], tuple(_installed(version)))


def _installed(version: Callable[[str], str]) -> list[tuple[str, str]]:
    found = []
    for name in _LIBRARIES:
        try:
            found.append((name, version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        raise Unavailable(f"TensorRT needs an NVIDIA GPU, and there is no nvidia-smi here; {_ADVICE}.")
    try:
        return subprocess.run([program, *_QUERY], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"TensorRT needs an NVIDIA GPU, and nvidia-smi failed ({error}); {_ADVICE}.") from error
