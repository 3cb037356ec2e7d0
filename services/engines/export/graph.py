"""From a PyTorch network to an ONNX file that was checked against it.

One description of a network's inputs gives the free axes of the file, the sizes that it is checked at, and the least,
usual and greatest shapes that TensorRT builds for; the latter travel in the file's metadata.
Must not know: which networks there are, or who runs the file.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir.passes.common as passes
import torch
from onnxscript import optimizer
from torch import Tensor, nn

from services.engines.engine import Engine
from services.engines.shapes import PROFILE_KEY
from services.errors import Internal

OPSET = 18
TOLERANCE = 1e-3
"""Largest difference from the network, relative to its greatest value."""


@dataclass(frozen=True)
class Axis:
    """An axis whose length is free: `multiple` times something; `least`, `usual` and `most` are lengths."""

    name: str
    least: int
    usual: int
    most: int
    multiple: int = 1


@dataclass(frozen=True)
class Input:
    """One float32 input: its name, and the length of every axis or the axis itself."""

    name: str
    shape: tuple[int | Axis, ...]


@dataclass(frozen=True)
class Exportable:
    """A network to export: tensors in the order of `inputs` -> one tensor, or a tuple of them, named `outputs`."""

    name: str
    network: nn.Module
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]


def export(what: Exportable, path: Path) -> float:
    """Write `what` to `path`, replacing the file only if the new one is right; returns the largest relative error.

    Raises Internal if the exported graph computes something else than the network.
    """
    network = what.network.float().eval()
    with torch.inference_mode(False), torch.no_grad():
        program = torch.onnx.export(
            network,
            tuple(inputs_of(what, step=1)),
            dynamo=True,
            dynamic_shapes=_free_axes(what),
            opset_version=OPSET,
            input_names=[part.name for part in what.inputs],
            output_names=list(what.outputs),
            verbose=False,
            optimize=False,
        )
    assert program is not None
    _simplified(program.model)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / path.name
        program.save(str(fresh), external_data=False)
        annotate(fresh, what)
        error = max(largest_error(what, fresh, step=step) for step in (0, 2))
        if not error <= TOLERANCE:
            raise Internal(
                f"the exported {what.name} differs from the network by {error:.2g}; {path} was not replaced."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fresh.read_bytes())
    return error


def largest_error(what: Exportable, path: Path, *, step: int) -> float:
    """Largest difference between ONNX Runtime and PyTorch, relative to the greatest value of each output.

    step: which sizes; 0 the least ones, each further step a little more along every free axis.
    """
    inputs = inputs_of(what, step=step)
    with torch.inference_mode():
        answer = what.network(*inputs)
    expected: Sequence[Tensor] = (answer,) if isinstance(answer, Tensor) else answer
    found = Engine(path, providers=("CPUExecutionProvider",)).run(*(value.numpy() for value in inputs))
    errors = [
        float(np.abs(ours - theirs.numpy()).max() / max(float(theirs.abs().max()), 1e-12))
        for ours, theirs in zip(found, expected, strict=True)
    ]
    return max(errors)


def inputs_of(what: Exportable, *, step: int) -> list[Tensor]:
    """Random inputs, normal, the same every time. Every free axis has another length, so that none can be mistaken."""
    random = torch.Generator().manual_seed(step)
    lengths: dict[Axis, int] = {}
    made = []
    for part in what.inputs:
        for axis in part.shape:
            if isinstance(axis, Axis) and axis not in lengths:
                further = axis.multiple * (step * (1 + len(lengths)) + (len(lengths) if step else 0))
                lengths[axis] = min(axis.least + further, axis.most)
        shape = [lengths[axis] if isinstance(axis, Axis) else axis for axis in part.shape]
        made.append(torch.randn(shape, generator=random))
    return made


def profile(what: Exportable) -> dict[str, list[list[int]]]:
    """Input -> its least, usual and greatest shape; empty if no axis is free."""
    if not any(isinstance(axis, Axis) for part in what.inputs for axis in part.shape):
        return {}
    return {
        part.name: [
            [getattr(axis, which) if isinstance(axis, Axis) else axis for axis in part.shape]
            for which in ("least", "usual", "most")
        ]
        for part in what.inputs
    }


def _free_axes(what: Exportable) -> tuple[dict[int, Any], ...]:
    dims: dict[Axis, Any] = {}
    result = []
    for part in what.inputs:
        free = {}
        for i, axis in enumerate(part.shape):
            if isinstance(axis, Axis):
                if axis not in dims:
                    least, most = -(-axis.least // axis.multiple), axis.most // axis.multiple
                    unit = torch.export.Dim(axis.name, min=least, max=most)
                    dims[axis] = axis.multiple * unit if axis.multiple > 1 else unit
                free[i] = dims[axis]
        result.append(free)
    return tuple(result)


def _simplified(model: Any) -> None:
    """Fold what is constant, which TensorRT asks of axes and sizes.

    Not more: the exporter's own rewriting takes a third of the export, and what runs the file rewrites it anyway.
    """
    steps: tuple[Any, ...] = (
        passes.InlinePass(),
        partial(optimizer.fold_constants, onnx_shape_inference=True),
        passes.RemoveUnusedNodesPass(),
        passes.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
        passes.RemoveUnusedOpsetsPass(),
        passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        passes.DeduplicateInitializersPass(),
        passes.CommonSubexpressionEliminationPass(),
    )
    for step in steps:
        step(model)


def annotate(path: Path, what: Exportable) -> None:
    """Drop what the exporter notes of where each node came from (paths of this machine); add the shapes' profile."""
    model = onnx.load(path)
    graph = model.graph
    parts: list[Any] = [model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.helper.set_model_props(model, {PROFILE_KEY: json.dumps(profile(what))})
    onnx.save(model, path)
