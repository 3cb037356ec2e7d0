"""The image encoder of SAM 2.1 as an exported network, in the place of the PyTorch one.

Must not know: who runs it. See `services.engines.export.networks.sam2_encoder`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from services.engines import Network


@dataclass(eq=False)
class Encoded:
    """What transformers' Sam2VisionModel answers, as far as the video model asks: maps [B, C, h, w], fine to coarse."""

    fpn_hidden_states: Any
    fpn_position_encoding: Any


class ExportedEncoder(nn.Module):
    """Called as transformers' Sam2VisionModel is; the features are `network`'s, the positions the model's own."""

    def __init__(self, network: Network, *, positions: nn.Module) -> None:
        """positions: the model's own encoding of positions (Sam2SinePositionEmbedding)."""
        super().__init__()
        self._network, self._positions = network, positions

    def forward(self, pixel_values: Tensor, **_: Any) -> Encoded:
        found = self._network.run(pixel_values.float().cpu().numpy())
        maps = [torch.from_numpy(one).to(pixel_values.device) for one in found]
        positions = [self._positions(one.shape, one.device, one.dtype).to(one.dtype) for one in maps]
        return Encoded(maps, positions)
