"""What TensorRT would not take is found in the graph."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from services.engines.shapes import PROFILE_KEY
from services.engines.tensorrt.graph import complaints


def write(path: Path, *nodes: Any, opset: int = 18, shape: tuple[Any, ...] = (1, 3), profile: object = None) -> Path:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [2], [1.0, 2.0])
    graph = helper.make_graph(list(nodes), "g", [value], [result], [scales])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    if profile is not None:
        helper.set_model_props(model, {PROFILE_KEY: json.dumps(profile)})
    file = path / "graph.onnx"
    onnx.save(model, file)
    return file


RELU = helper.make_node("Relu", ["x"], ["y"], name="fine")


def test_a_plain_graph_is_taken(tmp_path: Path) -> None:
    assert complaints(write(tmp_path, RELU)) == []


@pytest.mark.parametrize("opset", [8, 21])
def test_the_opset_must_be_known(tmp_path: Path, opset: int) -> None:
    assert complaints(write(tmp_path, RELU, opset=opset)) == [f"opset {opset} is outside of 9 to 20"]


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (helper.make_node("Unique", ["x"], ["y"], name="n"), "operator Unique"),
        (helper.make_node("Resize", ["x", "", "scales"], ["y"], name="n", antialias=1), "antialiasing"),
        (
            helper.make_node(
                "Resize", ["x", "", "scales"], ["y"], name="n", coordinate_transformation_mode="tf_crop_and_resize"
            ),
            "tf_crop_and_resize",
        ),
        (helper.make_node("ReduceSum", ["x", "x"], ["y"], name="n"), "axes of ReduceSum must be constant"),
        (helper.make_node("MaxPool", ["x"], ["y", "places"], name="n", kernel_shape=[2]), "indices"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path: Path, node: Any, words: str) -> None:
    found = complaints(write(tmp_path, node))
    assert len(found) == 1 and words in found[0] and found[0].startswith("n:")


def test_free_axes_need_shapes_to_build_for(tmp_path: Path) -> None:
    assert complaints(write(tmp_path, RELU, shape=("batch", 3))) == [
        "input x has free axes, but no shapes to build for"
    ]
    assert complaints(write(tmp_path, RELU, shape=("batch", 3), profile={"x": [[1, 3], [2, 3], [4, 3]]})) == []


def test_shapes_must_agree_with_fixed_axes(tmp_path: Path) -> None:
    found = complaints(write(tmp_path, RELU, shape=("batch", 3), profile={"x": [[1, 3], [2, 3], [4, 5]]}))
    assert found == ["input x cannot have shape [4, 5]"]
