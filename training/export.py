"""From a trained network to the ONNX file that a stage ships.

    python -m training.export guided-upscaler --checkpoint FILE --onnx services/ssr/compact.onnx

Batch, height and width stay free (height and width in steps of the network's own), and the file is checked against the
network before it replaces the old one. Must not know: how a network was trained.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from services.engines import Engine

_OPSET = 18
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Exportable:
    """How to export one network: its builder, its input channels, and what its height and width must divide by."""

    build: Callable[[], nn.Module]
    channels: int
    multiple: int


def export(network: nn.Module, path: Path, *, channels: int, multiple: int) -> float:
    """Write `network` ([B, channels, H, W] -> one tensor) to `path`; returns its largest error against torch.

    Raises ValueError if the exported graph computes something else.
    """
    network = network.eval().float().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    example = torch.rand(2, channels, 4 * multiple, 6 * multiple)
    height, width = torch.export.Dim("rows", min=1, max=4096), torch.export.Dim("columns", min=1, max=4096)
    shapes = ({0: torch.export.Dim("batch"), 2: multiple * height, 3: multiple * width},)
    program = torch.onnx.export(
        network,
        (example,),
        dynamo=True,
        dynamic_shapes=shapes,
        opset_version=_OPSET,
        input_names=["guide"],
        output_names=["result"],
        verbose=False,
    )
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / path.name
        program.save(str(fresh), external_data=False)
        _strip(fresh)
        error = _largest_error(network, fresh, channels=channels, height=5 * multiple, width=7 * multiple)
        if error > _TOLERANCE:
            raise ValueError(f"the exported graph differs from the network by {error:.2g}; {path} was not replaced.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(fresh.read_bytes())
    return error


def _strip(path: Path) -> None:
    """Drop what the exporter notes of where each node came from: paths of the machine that trained it."""
    model = onnx.load(path)
    graph = model.graph
    parts: list[Any] = [model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output]
    for part in parts:
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.save(model, path)


def _largest_error(network: nn.Module, path: Path, *, channels: int, height: int, width: int) -> float:
    guide = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(guide).numpy()
    return float(np.abs(Engine(path)(guide.numpy()) - expected).max())


def networks() -> dict[str, Exportable]:
    from training.recipes import depth, ssr

    return {
        "guided-upscaler": Exportable(ssr.GuidedUpscaler, ssr.GUIDE_CHANNELS, ssr.MULTIPLE),
        "compact-depth": Exportable(depth.CompactDepth, depth.GUIDE_CHANNELS, depth.MULTIPLE),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", choices=sorted(networks()))
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    given = parser.parse_args()
    chosen = networks()[given.network]
    network = chosen.build()
    network.load_state_dict(torch.load(given.checkpoint, weights_only=True)["average"])
    error = export(network, given.onnx, channels=chosen.channels, multiple=chosen.multiple)
    print(f"{given.onnx}: {given.onnx.stat().st_size / 1024:.0f} KB, largest error {error:.1g}")


if __name__ == "__main__":
    main()
