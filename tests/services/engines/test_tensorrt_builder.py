"""TensorRT itself parses the exported graphs and builds engines: where one of its libraries is installed."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from services.engines.export.graph import Exportable
from services.engines.shapes import Shapes
from services.engines.tensorrt.builder import build_plan
from services.engines.tensorrt.machine import read_machine
from services.errors import Internal, Unavailable


@pytest.fixture(scope="module")
def library() -> Any:
    """TensorRT with a GPU, or TensorRT for RTX, which builds without one."""
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        try:
            found = import_module(name)
            if not hasattr(found, "ComputeCapability"):
                read_machine()
            return found
        except (ImportError, Unavailable):
            continue
    pytest.skip("no TensorRT that could build here: a GPU with tensorrt, or tensorrt-rtx, is needed")


def small(shapes: Shapes) -> Shapes:
    """Building for the greatest shapes takes its time, and says no more."""
    most = tuple(min(high, max(low, 4 * low)) for low, high in zip(shapes.least, shapes.most, strict=True))
    return Shapes(shapes.least, shapes.least, most)


def test_an_engine_is_built_of_each_network(library: Any, exported: tuple[Exportable, Path]) -> None:
    from services.engines.tensorrt.cache import profile_of

    capability = library.ComputeCapability.SM89 if hasattr(library, "ComputeCapability") else None
    profile = {name: small(shapes) for name, shapes in profile_of(exported[1]).items()}
    assert len(build_plan(library, exported[1], profile, half=False, capability=capability)) > 1000


def test_a_file_that_is_no_graph_is_refused(library: Any, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(Internal, match=r"does not take the graph broken\.onnx"):
        build_plan(library, path, {}, half=False)
