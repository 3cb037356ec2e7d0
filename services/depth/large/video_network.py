"""Video-Depth-Anything: DINOv2 and the depth head of Depth Anything, with temporal modules between (2025, section 3.1).

Backbone, reassembly, fusion and output convolutions are transformers' own; four temporal modules stand behind the two
coarsest reassembled features and behind the two coarsest fused ones.
Must not know: windows, clips, or how its checkpoint names tensors (`video_names.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DepthAnythingConfig, Dinov2Backbone, Dinov2Config
from transformers.models.depth_anything.modeling_depth_anything import (
    DepthAnythingDepthEstimationHead,
    DepthAnythingNeck,
)
from transformers.models.dinov2.modeling_dinov2 import Dinov2Embeddings

from services.depth.large.temporal import TemporalModule

PATCH = 14
_TOGETHER = 4
"""Frames at a time in what does not look along time: it bounds memory and changes nothing."""


@dataclass(frozen=True)
class Widths:
    """Sizes of the network; the defaults are those of Video-Depth-Anything-Small.

    width, layers, heads, taps: of the backbone, and which layers' outputs are used. neck: channels of the reassembled
    features, finest first. features: channels of the fused ones. last: of the output head. image: side of the pictures
    whose positions the backbone has learned.
    """

    width: int = 384
    layers: int = 12
    heads: int = 6
    taps: tuple[int, int, int, int] = (3, 6, 9, 12)
    neck: tuple[int, int, int, int] = (48, 96, 192, 384)
    features: int = 64
    last: int = 32
    image: int = 518


SMALL = Widths()


class Positions(Dinov2Embeddings):
    """Patch embeddings whose learned positions are resampled as in the published code.

    It asks for a tenth of a patch more than there is, which moves every sample a little; transformers' own does not.
    """

    def interpolate_pos_encoding(self, embeddings: Tensor, height: int, width: int) -> Tensor:
        learned = self.position_embeddings
        side = round((learned.shape[1] - 1) ** 0.5)
        rows, columns = height // PATCH, width // PATCH
        if rows == columns == side:
            return learned
        grid = learned[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        scales = ((rows + 0.1) / side, (columns + 0.1) / side)
        scaled = F.interpolate(grid, scale_factor=scales, mode="bicubic")
        return torch.cat([learned[:, :1], scaled.flatten(2).transpose(1, 2).to(learned.dtype)], dim=1)


class VideoDepthNetwork(nn.Module):
    """Normalised frames of one window -> disparity."""

    def __init__(self, widths: Widths = SMALL) -> None:
        super().__init__()
        config = _config(widths)
        inner: Any = config.backbone_config
        self.backbone = Dinov2Backbone(inner)
        self.backbone.embeddings = Positions(inner)
        self.neck: Any = DepthAnythingNeck(config)  # type: ignore[no-untyped-call]
        self.head: Any = DepthAnythingDepthEstimationHead(config)  # type: ignore[no-untyped-call]
        self.temporal = nn.ModuleList(
            TemporalModule(channels) for channels in (*widths.neck[2:], widths.features, widths.features)
        )

    def forward(self, frames: Tensor) -> Tensor:
        """[T, h, w], 0 or more, from [T, 3, h, w]; T at most 32, h and w multiples of 14."""
        count, patches = len(frames), (frames.shape[-2] // PATCH, frames.shape[-1] // PATCH)
        parts = [self._reassembled(part, patches) for part in torch.split(frames, _TOGETHER)]
        fine, finer, coarser, coarse = (torch.cat(level) for level in zip(*parts, strict=True))
        coarser = self.temporal[0](coarser, count)
        coarse = self.temporal[1](coarse, count)
        levels = [self.neck.convs[i](level) for i, level in enumerate((fine, finer, coarser, coarse))]
        fused = self._fused(0, levels[3], size=levels[2].shape[2:])
        fused = self.temporal[2](fused, count)
        fused = self._fused(1, fused, levels[2], size=levels[1].shape[2:])
        fused = self.temporal[3](fused, count)
        pieces = zip(*(torch.split(x, _TOGETHER) for x in (fused, levels[1], levels[0])), strict=True)
        return torch.cat([self._finest(*piece, patches=patches) for piece in pieces])

    def _reassembled(self, frames: Tensor, patches: tuple[int, int]) -> list[Tensor]:
        return list(self.neck.reassemble_stage(self.backbone(frames).feature_maps, *patches))

    def _fused(self, i: int, *inputs: Tensor, size: torch.Size | None = None) -> Tensor:
        return self.neck.fusion_stage.layers[i](*inputs, size=size)

    def _finest(self, fused: Tensor, finer: Tensor, fine: Tensor, *, patches: tuple[int, int]) -> Tensor:
        fused = self._fused(2, fused, finer, size=fine.shape[2:])
        # The published code resizes the result to the input's size once more, which it has already.
        return self.head([self._fused(3, fused, fine)], *patches)


def _config(widths: Widths) -> DepthAnythingConfig:
    backbone = Dinov2Config(
        hidden_size=widths.width,
        num_hidden_layers=widths.layers,
        num_attention_heads=widths.heads,
        image_size=widths.image,
        patch_size=PATCH,
        out_indices=list(widths.taps),  # type: ignore[call-arg]
        reshape_hidden_states=False,
    )
    return DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=widths.width,
        neck_hidden_sizes=list(widths.neck),
        fusion_hidden_size=widths.features,
        head_hidden_size=widths.last,
        patch_size=PATCH,
    )
