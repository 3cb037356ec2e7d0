"""Whether TensorRT can take an ONNX graph, seen from the graph alone, so that it is known without a GPU.

The list is that of TensorRT's ONNX parser (onnx-tensorrt 10, docs/operators.md), as far as our networks reach.
Must not know: any network, or TensorRT's library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from services.engines.shapes import Profile, from_metadata

LEAST_OPSET, MOST_OPSET = 9, 20
SUPPORTED = frozenset(
    """
    Abs Add And AveragePool Cast
    Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos DepthToSpace Div Equal Erf Exp
    Expand Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool Greater GreaterOrEqual GroupNormalization
    Identity InstanceNormalization IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max MaxPool Min Mod
    Mul Neg Not Or Pad Pow Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize
    Round Shape Sigmoid Sign Sin Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Tanh Tile Transpose
    Unsqueeze Where Xor
    """.split()  # noqa: SIM905 - a list of eighty literals reads worse
)
# The parser's table leaves cubic out, its code and the library take it.
_RESIZES = frozenset({b"nearest", b"linear", b"cubic"})
_TRANSFORMS = frozenset(
    {b"half_pixel", b"pytorch_half_pixel", b"tf_half_pixel_for_nn", b"asymmetric", b"align_corners"}
)
_CONSTANT_AXES = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "Slice", "Squeeze", "Unsqueeze"})


def complaints(path: Path) -> list[str]:
    """What TensorRT would not take of the graph at `path`, one sentence each; empty if it takes all."""
    model = onnx.load(path)
    found = _opset(model)
    constants = {value.name for value in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants.update(node.output)
    for node in model.graph.node:
        found.extend(_node(node, constants))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return found + _shapes(model, from_metadata(metadata))


def _opset(model: Any) -> list[str]:
    found = []
    for part in model.opset_import:
        if part.domain not in ("", "ai.onnx"):
            found.append(f"operators of {part.domain!r} are not supported")
        elif not LEAST_OPSET <= part.version <= MOST_OPSET:
            found.append(f"opset {part.version} is outside of {LEAST_OPSET} to {MOST_OPSET}")
    return found


def _node(node: Any, constants: set[str]) -> list[str]:
    attributes = {part.name: part for part in node.attribute}
    if node.op_type not in SUPPORTED:
        return [f"{node.name}: operator {node.op_type} is not supported"]
    if node.op_type == "Resize":
        return _resize(node, attributes)
    if node.op_type == "MaxPool" and len(node.output) > 1:
        return [f"{node.name}: MaxPool with indices is not supported"]
    if node.op_type in _CONSTANT_AXES:
        axes = node.input[3:4] if node.op_type == "Slice" else node.input[1:2]
        return [
            f"{node.name}: axes of {node.op_type} must be constant" for name in axes if name and name not in constants
        ]
    return []


def _resize(node: Any, attributes: dict[str, Any]) -> list[str]:
    found = []
    mode = attributes["mode"].s if "mode" in attributes else b"nearest"
    transform = (
        attributes["coordinate_transformation_mode"].s if "coordinate_transformation_mode" in attributes else b""
    )
    if mode not in _RESIZES:
        found.append(f"{node.name}: Resize by {mode.decode()} is not supported")
    if transform and transform not in _TRANSFORMS:
        found.append(f"{node.name}: Resize with {transform.decode()} is not supported")
    if "antialias" in attributes and attributes["antialias"].i:
        found.append(f"{node.name}: Resize with antialiasing is not supported")
    return found


def _shapes(model: Any, profile: Profile) -> list[str]:
    """The profile must name every input with a free axis, and agree with the axes that are not."""
    found = []
    for part in model.graph.input:
        lengths = [axis.dim_value if axis.HasField("dim_value") else None for axis in part.type.tensor_type.shape.dim]
        if part.name not in profile:
            if None in lengths:
                found.append(f"input {part.name} has free axes, but no shapes to build for")
            continue
        shapes = profile[part.name]
        for shape in (shapes.least, shapes.usual, shapes.most):
            fits = len(shape) == len(lengths) and all(own in (None, n) for own, n in zip(lengths, shape, strict=True))
            if not fits:
                found.append(f"input {part.name} cannot have shape {list(shape)}")
    return found
