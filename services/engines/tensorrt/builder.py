"""An ONNX file to a TensorRT plan. The library is handed in, so that either of its builds can be used.

Must not know: where plans are kept, or which networks there are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from services.engines.shapes import Profile
from services.errors import Internal

_WORKSPACE = 4 << 30
"""Most bytes of scratch memory while an engine runs."""


def build_plan(trt: Any, path: Path, profile: Profile, *, half: bool, capability: Any = None) -> bytes:
    """The serialised engine of the graph at `path`.

    trt: the module `tensorrt` (or `tensorrt_rtx`, which shares the calls used here). half: allow 16 bits inside.
    capability: for which GPUs, where there is none to ask (`tensorrt_rtx` alone).
    Raises Internal, with what the library says, if it does not take the graph or finds no engine for it.
    """
    complaints = _Complaints(trt)
    builder = trt.Builder(complaints.logger)
    network = builder.create_network(_flags(trt))
    parser = trt.OnnxParser(network, complaints.logger)
    if not parser.parse(path.read_bytes()):
        said = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise Internal(f"TensorRT does not take the graph {path.name} ({said}); export it again for this TensorRT.")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, _WORKSPACE)
    if half and hasattr(trt.BuilderFlag, "FP16"):
        config.set_flag(trt.BuilderFlag.FP16)
    if profile:
        shapes = builder.create_optimization_profile()
        for name, part in profile.items():
            shapes.set_shape(name, part.least, part.usual, part.most)
        config.add_optimization_profile(shapes)
    if capability is not None:
        config.num_compute_capabilities = 1
        config.set_compute_capability(capability, 0)
    content = builder.build_serialized_network(network, config)
    if content is None:
        raise Internal(f"TensorRT built no engine for {path.name} ({complaints.said() or 'it gave no reason'}).")
    return bytes(content)


def _flags(trt: Any) -> int:
    """An explicit batch where the library still asks for it."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    return 0 if flag is None else 1 << int(flag)


class _Complaints:
    """A logger that keeps the errors; the library wants a subclass of its own class."""

    def __init__(self, trt: Any) -> None:
        kept: list[str] = []
        grave = (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR)

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, message: str) -> None:
                if severity in grave:
                    kept.append(message)

        self.logger = Logger()
        self._kept = kept

    def said(self) -> str:
        return "; ".join(self._kept)
