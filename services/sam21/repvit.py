"""EdgeTAM's image encoder: RepViT-M1 (Wang et al., 2023) and the pyramid above it.

`transformers` takes this backbone from timm, which needs torchvision; so it is written out here, under the names of the
checkpoint's tensors. Only inference: batch norms use their running statistics. Must not know: prompts, memory, files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2HieraDetConfig, Sam2VisionConfig
from transformers.models.edgetam.modeling_edgetam import EdgeTamVisionEncoderOutput, EdgeTamVisionNeck

# Depth of the four stages of RepViT-M1; the widths stand in the configuration.
DEPTHS = (2, 2, 14, 2)


class ConvNorm(nn.Sequential):
    """Convolution without bias, batch norm."""

    def __init__(self, inside: int, outside: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.add_module("c", nn.Conv2d(inside, outside, kernel, stride, kernel // 2, groups=groups, bias=False))
        self.add_module("bn", nn.BatchNorm2d(outside))


class TokenMixer(nn.Module):
    """Depthwise 3x3 and 1x1 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = ConvNorm(width, width, kernel=3, groups=width)
        self.conv1 = ConvNorm(width, width, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.conv(x) + self.conv1(x), x)


class SqueezeExcite(nn.Module):
    """Channels weighed by what the whole image holds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # A quarter of the width, rounded to a multiple of eight.
        inner = max(8, int(width / 4 + 4) // 8 * 8)
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.fc2 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.fc2(torch.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * weight.sigmoid()


class ChannelMixer(nn.Module):
    """Two 1x1 convolutions, twice as wide between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(width, 2 * width)
        self.act = nn.GELU()
        self.conv2 = ConvNorm(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.conv2(self.act(self.conv1(x))))


class Block(nn.Module):
    def __init__(self, width: int, *, excites: bool) -> None:
        super().__init__()
        self.token_mixer = TokenMixer(width)
        self.se = SqueezeExcite(width) if excites else nn.Identity()
        self.channel_mixer = ChannelMixer(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.channel_mixer(self.se(self.token_mixer(x))))


class Downsample(nn.Sequential):
    """Half the resolution, another width."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.add_module("pre_block", Block(inside, excites=False))
        self.add_module("spatial_downsample", ConvNorm(inside, inside, kernel=3, stride=2, groups=inside))
        self.add_module("channel_downsample", ConvNorm(inside, outside))
        self.add_module("ffn", ChannelMixer(outside))


class Stage(nn.Sequential):
    def __init__(self, inside: int, outside: int, depth: int) -> None:
        super().__init__()
        self.add_module("downsample", nn.Identity() if inside == outside else Downsample(inside, outside))
        # Every second block excites, beginning with the first.
        self.add_module("blocks", nn.Sequential(*(Block(outside, excites=i % 2 == 0) for i in range(depth))))


class RepVit(nn.Module):
    """[B, 3, H, W] -> maps at a quarter, an eighth, a sixteenth and a 32nd of the size, of the given widths."""

    def __init__(self, widths: Sequence[int], depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        first = widths[0]
        self.stem = nn.Sequential()
        self.stem.add_module("conv1", ConvNorm(3, first // 2, kernel=3, stride=2))
        self.stem.add_module("act1", nn.GELU())
        self.stem.add_module("conv2", ConvNorm(first // 2, first, kernel=3, stride=2))
        self._stages: list[str] = []
        for i, (inside, outside, depth) in enumerate(zip((first, *widths), widths, depths, strict=False)):
            self.add_module(f"stages_{i}", Stage(inside, outside, depth))
            self._stages.append(f"stages_{i}")

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for name in self._stages:
            x = self.get_submodule(name)(x)
            maps.append(x)
        return maps


class _Backbone(nn.Module):
    def __init__(self, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.timm_model = RepVit(widths, depths)


class EdgeTamEncoder(nn.Module):
    """What EdgeTamVideoModel expects of its vision encoder: three levels of features and their positions."""

    def __init__(self, config: Any, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        self.backbone = _Backbone(config.backbone_channel_list[::-1], depths)
        self.neck = EdgeTamVisionNeck(config)
        self._levels = int(config.num_feature_levels)

    def forward(self, pixels: Tensor, **_: Any) -> EdgeTamVisionEncoderOutput:
        maps = [level.permute(0, 2, 3, 1) for level in self.backbone.timm_model(pixels)]
        features, positions = self.neck(maps)
        return EdgeTamVisionEncoderOutput(
            last_hidden_state=maps[-1],
            fpn_hidden_states=features[-self._levels :][::-1],
            fpn_position_encoding=positions[-self._levels :][::-1],
        )


def edgetam(config: EdgeTamVideoConfig, depths: Sequence[int] = DEPTHS) -> EdgeTamVideoModel:
    """EdgeTAM with this encoder; weights random."""
    vision: Any = config.vision_config
    # The model builds an encoder by its configuration, which would ask timm; a small one stands in for it.
    standin = Sam2VisionConfig(
        backbone_config=Sam2HieraDetConfig(
            hidden_size=8, embed_dim_per_stage=[8] * 4, num_attention_heads_per_stage=[1] * 4, blocks_per_stage=[1] * 4,
            global_attention_blocks=[],
        ),
        backbone_channel_list=[8] * 4,
        backbone_feature_sizes=vision.backbone_feature_sizes,
        num_feature_levels=vision.num_feature_levels,
        fpn_hidden_size=vision.fpn_hidden_size,
    )  # fmt: skip
    model = EdgeTamVideoModel(EdgeTamVideoConfig(**{**config.to_dict(), "vision_config": standin}))
    model.vision_encoder = EdgeTamEncoder(vision, depths)
    model.config = config
    return model
