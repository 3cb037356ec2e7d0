"""A real Triton with one small model, for tests: the production adapter and configuration on a stage that counts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator import triton_runtime
from orchestrator.triton_server import Ports, TritonServer
from services.errors import Unavailable

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MODEL = """
from toy_stage import Toy
from model_repository.adapter import stage_model
TritonPythonModel = stage_model("toy", factory=Toy)
"""


def toy_repository(folder: Path, *, model: str = MODEL) -> Path:
    """A model repository with the model `toy`, configured as the real ones are, with two instances."""
    repository = folder / "models"
    version = repository / "toy" / "1"
    version.mkdir(parents=True)
    config = (ROOT / "model_repository" / "casper" / "config.pbtxt").read_text()
    (repository / "toy" / "config.pbtxt").write_text(config.replace('"casper"', '"toy"'))
    (version / "model.py").write_text(model)
    shutil.copy(HERE / "toy_stage.py", version)
    (repository / "__pycache__").mkdir()
    (repository / "README.md").write_text("Loose files and caches must not be taken for models.")
    return repository


def toy_server(
    folder: Path, *, ports: Ports | None = None, model: str = MODEL, options: Sequence[str] = ()
) -> TritonServer:
    """A server on `toy_repository`, not yet started. Skips the test where Triton is not installed."""
    try:
        triton_runtime.find_triton()
    except Unavailable as error:
        pytest.skip(str(error))
    return TritonServer(
        store=str(folder / "store"),
        folder=folder / "run",
        ports=ports or Ports.free(),
        repository=toy_repository(folder, model=model),
        options=options,
    )


@contextmanager
def running_toy_server(folder: Path, *, options: Sequence[str] = ()) -> Iterator[TritonServer]:
    server = toy_server(folder, options=options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
