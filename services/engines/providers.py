"""Which device runs the networks' files: one setting, no code of its own elsewhere.

    OMNIMATTE_PROVIDER   cpu (default), cuda, tensorrt, or auto: the fastest of cuda and cpu that is there

The default stays the CPU wherever a GPU is left to the large models. A device that was asked for and is not there is an
error, never a silent step back to a slower one.
Must not know: any network, or how an engine is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import onnxruntime

from services.errors import BadOption, Unavailable

PROVIDER_VARIABLE = "OMNIMATTE_PROVIDER"
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
SETTINGS = ("cpu", "cuda", "tensorrt", "auto")

Provider = str | tuple[str, Mapping[str, Any]]
"""Name, or name and options, as ONNX Runtime takes it."""


def chosen(path: Path) -> tuple[Provider, ...]:
    """The providers for the network at `path`, by the setting. Raises BadOption, Unavailable as `providers` does."""

    def engines() -> Mapping[str, Any]:
        from services.engines.tensorrt import cache

        return cache.provider_options(path)

    setting = os.environ.get(PROVIDER_VARIABLE, "cpu")
    return providers(setting, available=onnxruntime.get_available_providers(), tensorrt=engines)


def providers(
    setting: str, *, available: Collection[str], tensorrt: Callable[[], Mapping[str, Any]]
) -> tuple[Provider, ...]:
    """Providers in order of preference; what one cannot do, the next does.

    tensorrt: makes that provider's options. Raises BadOption for an unknown setting, Unavailable if this machine's
    ONNX Runtime has no such provider.
    """
    if setting not in SETTINGS:
        raise BadOption(f"{PROVIDER_VARIABLE} is {setting!r}; use {', '.join(SETTINGS)}.")
    if setting == "cpu" or (setting == "auto" and CUDA not in available):
        return (CPU,)
    wanted = TENSORRT if setting == "tensorrt" else CUDA
    if wanted not in available:
        raise Unavailable(
            f"{PROVIDER_VARIABLE} is {setting!r}, but this ONNX Runtime has no {wanted} (it has "
            f"{', '.join(available)}): a GPU is needed, and the package onnxruntime-gpu; or set it to 'cpu'."
        )
    return ((TENSORRT, tensorrt()), CUDA, CPU) if setting == "tensorrt" else (CUDA, CPU)
