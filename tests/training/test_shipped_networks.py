"""The ONNX files that stages ship compute what the networks that were trained compute."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import services
from services.engines.export.graph import TOLERANCE, largest_error, profile
from services.engines.signature import signature
from services.engines.tensorrt.graph import complaints
from training.export import networks

FILES = {"guided-upscaler": "ssr", "compact-depth": "depth"}


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_file_is_its_network(name: str) -> None:
    path = Path(services.__file__).parent / FILES[name] / "compact.onnx"
    weights = {
        part.name: torch.from_numpy(np.array(numpy_helper.to_array(part))) for part in onnx.load(path).graph.initializer
    }
    network = networks()[name].build().eval()
    network.load_state_dict({key: weights[key] for key in network.state_dict()})
    what = networks()[name].describe(network)
    for step in (0, 1, 2):  # other sizes each time
        assert largest_error(what, path, step=step) < 0.01 * TOLERANCE
    assert complaints(path) == []
    found = {key: [list(s.least), list(s.usual), list(s.most)] for key, s in signature(path).profile.items()}
    assert found == profile(what)
