"""The parts of Wan with few random weights, for the tests beside this file."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from torch import Tensor, nn

from services.casper.wan import network
from services.casper.wan.network import Shape

SHAPE = Shape(
    num_attention_heads=2,
    num_layers=2,
    ffn_dim=32,
    attention_head_dim=12,
    text_dim=16,
    freq_dim=16,
    image_dim=20,
    rope_max_seq_len=64,
)


def denoiser(seed: int = 0, shape: Shape = SHAPE) -> Any:
    built = network.build(shape).to_empty(device="cpu")
    built.rope = type(built.rope)(shape.attention_head_dim, network.PATCH, shape.rope_max_seq_len)
    return with_weights(built, seed)


def vae(seed: int = 0) -> Any:
    model = diffusers.AutoencoderKLWan(base_dim=4, dim_mult=[1, 1, 1, 1])
    return with_weights(model.eval().requires_grad_(False), seed)


def with_weights(model: Any, seed: int) -> Any:
    """Random weights of a size that keeps the signal's, norms and biases included, so that none is without effect."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        weight.data = _random(name, weight, generator)
    return model


def _random(name: str, weight: nn.Parameter, generator: torch.Generator) -> Tensor:
    noise = torch.randn(weight.shape, generator=generator)
    if weight.ndim < 2 or name.endswith("gamma"):
        return noise * 0.1 + (0 if name.endswith("bias") else 1)
    return noise / weight[0].numel() ** 0.5
