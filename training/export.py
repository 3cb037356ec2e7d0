"""From a trained network to the ONNX file that a stage ships.

    python -m training.export guided-upscaler --checkpoint FILE --onnx services/ssr/compact.onnx

Batch, height and width stay free (height and width in steps of the network's own), and the file is checked against the
network before it replaces the old one. Must not know: how a network was trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from services.engines.export.graph import Exportable, export
from services.engines.export.networks import compact_depth, guided_upscaler


@dataclass(frozen=True)
class Shipped:
    """One network that a stage ships as a file: its builder, and how it is exported."""

    build: Callable[[], nn.Module]
    describe: Callable[[nn.Module], Exportable]


def networks() -> dict[str, Shipped]:
    from training.recipes import depth, ssr

    return {
        "guided-upscaler": Shipped(ssr.GuidedUpscaler, guided_upscaler),
        "compact-depth": Shipped(depth.CompactDepth, compact_depth),
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
    error = export(chosen.describe(network), given.onnx)
    print(f"{given.onnx}: {given.onnx.stat().st_size / 1024:.0f} KB, largest error {error:.1g}")


if __name__ == "__main__":
    main()
