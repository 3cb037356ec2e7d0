"""Whether this process computes on a GPU. Loads no library to find out: one that is not here holds none.

Must not know: any stage.
"""

from __future__ import annotations

import os
import sys


def holds_gpu() -> bool:
    """Whether PyTorch has begun to use a GPU here, or ONNX Runtime was told to."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return True
    provider = os.environ.get("OMNIMATTE_PROVIDER", "cpu")
    runtime = sys.modules.get("onnxruntime")
    if runtime is None or provider == "cpu":
        return False
    return provider != "auto" or "CUDAExecutionProvider" in runtime.get_available_providers()
