"""Wan's denoiser as diffusers builds it, in the sizes that Casper was published for, and one call of it.

A network is built without weights: of 14 billion random numbers none would be used. Must not know: files, windows,
schedules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import diffusers
import torch
from diffusers.models.transformers.transformer_wan import WanRotaryPosEmbed
from torch import Tensor, nn

from services.casper.large.placement import Need, NeedAt
from services.casper.large.windows import WAN

Size = Literal["1.3b", "14b"]

# Its classes are only half typed.
_models: Any = diffusers


@dataclass(frozen=True)
class Shape:
    """Constructor arguments of WanTransformer3DModel that the sizes differ in, or a test makes smaller."""

    num_attention_heads: int
    num_layers: int
    ffn_dim: int
    attention_head_dim: int = 128
    text_dim: int = 4096
    freq_dim: int = 256
    image_dim: int = 1280
    rope_max_seq_len: int = 1024

    @property
    def width(self) -> int:
        """Features of a token."""
        return self.num_attention_heads * self.attention_head_dim


SHAPES: Mapping[Size, Shape] = {
    "1.3b": Shape(num_attention_heads=12, num_layers=30, ffn_dim=8960),
    "14b": Shape(num_attention_heads=40, num_layers=40, ffn_dim=13824),
}
IN_CHANNELS, OUT_CHANNELS = 36, 16
PATCH = (1, 2, 2)


def build(shape: Shape) -> Any:
    """A WanTransformer3DModel whose weights are still to come (on the device "meta"); its tables are real."""
    with torch.device("meta"):
        network = _models.WanTransformer3DModel(
            **asdict(shape),
            patch_size=PATCH,
            in_channels=IN_CHANNELS,
            out_channels=OUT_CHANNELS,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            eps=1e-6,
            added_kv_proj_dim=shape.width,
        )
    # Not in any checkpoint, so it must not stay without values.
    network.rope = WanRotaryPosEmbed(shape.attention_head_dim, PATCH, shape.rope_max_seq_len)
    return network.eval().requires_grad_(False)


def shape_of(config: Mapping[str, Any]) -> Shape:
    """The shape that a WanTransformer3DModel's configuration (diffusers' config.json) describes."""
    return Shape(**{field.name: config[field.name] for field in fields(Shape) if field.name in config})


def need_of(shape: Shape, *, name: str) -> NeedAt:
    """What a Wan of this shape needs at a size: parameters counted, working memory estimated on the safe side."""
    network = build(shape)
    parameters = sum(weight.numel() for weight in network.parameters())
    block = sum(weight.numel() for weight in network.blocks[0].parameters())
    # Of the linear layers, fp8 leaves those of the embeddings alone.
    cast = sum(
        weight.numel()
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear) and not name.startswith("condition_embedder.")
        for weight in layer.parameters()
    )

    def at(height: int, width: int) -> Need:
        tokens = WAN.window * (height // 16) * (width // 16)
        return Need(
            name=name,
            parameters=parameters,
            block=block,
            rest=parameters - block * shape.num_layers,
            # About 32 copies of the hidden state at a block's peak, 2 bytes each: norms and gates are in float32.
            working=tokens * shape.width * 2 * 32,
            # Four decoded frames in 96 channels, about seven at once, and the convolutions' caches.
            vae=260_000_000 + height * width * 20_000,
            whole=parameters - cast,
        )

    return at


def weight_dtype(network: Any, name: str, dtype: torch.dtype) -> torch.dtype:
    """In what type a weight is kept when the network runs in `dtype`: norms, modulation and time stay in float32."""
    whole: list[str] = network._keep_in_fp32_modules
    return torch.float32 if any(part in name.split(".") for part in whole) else dtype


def predict(network: nn.Module, stacked: Tensor, *, timestep: float, text: Tensor, image: Tensor) -> Tensor:
    """The predicted noise - x0 [B, 16, t, h, w], float32.

    stacked: [B, 36, t, h, w], noisy latent, mask and condition video; h and w even. timestep: 0..1000.
    text: [1 or B, 512, channels]. image: [1 or B, 257, channels].
    """
    device, size = stacked.device, len(stacked)
    predicted: Tensor = network(
        hidden_states=stacked,
        timestep=torch.full((size,), timestep, device=device),
        encoder_hidden_states=text.to(device, stacked.dtype).expand(size, -1, -1),
        encoder_hidden_states_image=image.to(device, stacked.dtype).expand(size, -1, -1),
        return_dict=False,
    )[0]
    return predicted.float()
