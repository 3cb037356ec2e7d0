"""Fixtures that several tests of the table share."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from services.casper.network import CompactCasper
from services.ssr import guide
from tests.training.evaluate.toys import scene


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compact Casper, untrained."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "casper.safetensors"
    save_file({name: value.half().contiguous() for name, value in CompactCasper().state_dict().items()}, path)
    return path


@pytest.fixture(scope="session")
def upscaler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Super-resolution that adds nothing: Casper's enlarged frame, the guide's first three channels, as it is."""
    guides = onnx.helper.make_tensor_value_info("guide", onnx.TensorProto.FLOAT, [1, guide.CHANNELS, "h", "w"])
    frame = onnx.helper.make_tensor_value_info("frame", onnx.TensorProto.FLOAT, [1, 3, "h", "w"])
    bounds = [onnx.numpy_helper.from_array(np.array([n]), name) for name, n in (("first", 0), ("last", 3), ("axis", 1))]
    node = onnx.helper.make_node("Slice", ["guide", "first", "last", "axis"], ["frame"])
    graph = onnx.helper.make_graph([node], "copy", [guides], [frame], bounds)
    path = tmp_path_factory.mktemp("weights") / "ssr.onnx"
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """Two benchmark scenes of two categories, as OmnimatteRF lays them out."""
    toy = scene()
    assert toy.background is not None
    for category, name in (("movie", "dog"), ("kubric", "car")):
        place = tmp_path / category / name
        _write(place / "rgb_1x", toy.video)
        _write(place / "rgb_bg", toy.background)
        for n in range(2):
            _write(place / "masks" / "mask" / f"{n:02d}", toy.masks[..., n])
    return tmp_path


def _write(folder: Path, frames: np.ndarray) -> None:
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{t:05d}.png"), frame if frame.ndim == 2 else frame[..., ::-1])
