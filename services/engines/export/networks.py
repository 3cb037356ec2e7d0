"""The feed-forward networks as they are exported: what goes in, what comes out, which axes are free.

Must not know: where weights come from, or who runs the files.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.engines.export.graph import Axis, Exportable, Input

_PATCH = 14
_BASE = 16
"""Compact Casper's sides are multiples of this."""


def depth_anything(network: Any) -> Exportable:
    """Depth-Anything-V2: `frames` [B, 3, h, w], ImageNet-normalised -> `disparity` [B, h, w], 0 or more.

    network: transformers' DepthAnythingForDepthEstimation.
    """
    rows = Axis("rows", least=_PATCH, usual=37 * _PATCH, most=130 * _PATCH, multiple=_PATCH)
    columns = Axis("columns", least=_PATCH, usual=66 * _PATCH, most=130 * _PATCH, multiple=_PATCH)
    frames = Input("frames", (_batch(8), 3, rows, columns))
    return Exportable("depth-anything", DepthAnythingGraph(network), (frames,), ("disparity",))


def sam2_encoder(network: Any, *, side: int) -> Exportable:
    """SAM 2's image encoder: `frames` [B, 3, side, side] normalised -> `fine`, `middle`, `coarse` [B, c, s, s].

    A fixed side, because its positions and windows are made for one (1024 in the published models).
    network: transformers' Sam2VisionModel.
    """
    frames = Input("frames", (_batch(8), 3, side, side))
    return Exportable("sam2-encoder", Sam2EncoderGraph(network), (frames,), ("fine", "middle", "coarse"))


def compact_casper(network: nn.Module) -> Exportable:
    """Compact Casper: see `services.casper.network.CompactCasper.forward`, but `t` [B, 1]; sides multiples of 16."""
    axes = (
        Axis("frames", least=1, usual=16, most=128),
        Axis("rows", least=2 * _BASE, usual=8 * _BASE, most=28 * _BASE, multiple=_BASE),
        Axis("columns", least=2 * _BASE, usual=14 * _BASE, most=28 * _BASE, multiple=_BASE),
    )
    batch = _batch(4)
    inputs = (
        Input("noisy", (batch, 3, *axes)),
        Input("conditions", (batch, 8, *axes)),
        Input("t", (batch, 1)),
    )
    return Exportable("compact-casper", CompactCasperGraph(network), inputs, ("clean",))


def guided_upscaler(network: nn.Module) -> Exportable:
    """Super-resolution: `guide` [B, 17, H, W] (see `services.ssr.guide`) -> `result` [B, 3, H, W]; multiples of 4."""
    return _picture("guided-upscaler", network, channels=17, multiple=4, least=16, usual=(360, 640), most=2048)


def compact_depth(network: nn.Module) -> Exportable:
    """Compact depth: `guide` [B, 6, H, W] (see `services.depth.guide`) -> `result` [B, 1, H, W]; multiples of 16."""
    return _picture("compact-depth", network, channels=6, multiple=_BASE, least=32, usual=(128, 224), most=28 * _BASE)


def _picture(
    name: str, network: nn.Module, *, channels: int, multiple: int, least: int, usual: tuple[int, int], most: int
) -> Exportable:
    rows = Axis("rows", least=least, usual=usual[0], most=most, multiple=multiple)
    columns = Axis("columns", least=least, usual=usual[1], most=most, multiple=multiple)
    return Exportable(name, network, (Input("guide", (_batch(4), channels, rows, columns)),), ("result",))


def _batch(most: int) -> Axis:
    return Axis("batch", least=1, usual=1, most=most)


class CompactCasperGraph(nn.Module):
    """Its noise levels as a column: a server takes no input that has nothing but the batch."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, noisy: Tensor, conditions: Tensor, t: Tensor) -> Tensor:
        clean: Tensor = self.network(noisy, conditions, t[:, 0])
        return clean


class DepthAnythingGraph(nn.Module):
    """The same computation as transformers' class, where that one turns sizes into plain numbers."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        inner, head = self.network, self.network.head
        rows, columns = frames.shape[-2] // _PATCH, frames.shape[-1] // _PATCH
        fused = inner.neck(inner.backbone(frames).feature_maps, rows, columns)[head.head_in_index]
        size = (rows * _PATCH, columns * _PATCH)
        wide = F.interpolate(head.conv1(fused), size=size, mode="bilinear", align_corners=True)
        return torch.relu(head.conv3(torch.relu(head.conv2(wide))))[:, 0]


class Sam2EncoderGraph(nn.Module):
    """The feature pyramid alone, finest first; positions are constants that their user knows."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network(frames).fpn_hidden_states)
