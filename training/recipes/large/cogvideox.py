"""Casper on CogVideoX-Fun 1.5 5B: 33 channels (16 noisy latent, 1 mask, 16 condition video), v-prediction.

Differences from the official CogVideoX 1.5: no `ofs` embedding, and `invert_scale_latents` is ignored. Latents come in
pairs (patch_size_t 2), so a clip has 4k + 1 frames with k odd.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from torch import Tensor, nn

from training.recipes.large import conditions as told
from training.recipes.large.backbone import encoded, mixed
from training.recipes.large.embeddings import CachedText, existing, invented_text, t5
from training.recipes.large.schedules import Velocity

SCALING = 0.7
TEXT_TOKENS = 226
TEXT_DROPOUT = 0.1

# Its classes are only half typed.
_models: Any = diffusers


def tiny_network() -> Any:
    """The same shape of network with random weights, small enough for a test."""
    return _models.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=33,
        out_channels=16,
        num_layers=2,
        time_embed_dim=32,
        text_embed_dim=16,
        max_text_seq_length=8,
        patch_size=2,
        patch_size_t=2,
        sample_frames=5,
        sample_height=64,
        sample_width=64,
        use_rotary_positional_embeddings=True,
    )


def tiny_vae() -> Any:
    return _models.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2, scaling_factor=SCALING
    )


def read_network(base: Path) -> nn.Module:
    """The denoiser in `base`, float32: mixed precision keeps the weights whole and the activations in bfloat16."""
    folder = existing(base, "transformer")
    network: Any = _models.CogVideoXTransformer3DModel.from_pretrained(
        folder, in_channels=33, out_channels=16, ofs_embed_dim=None, local_files_only=True
    )
    network.enable_gradient_checkpointing()
    return network


@dataclass
class CogVideoX:
    """The `Backbone` (backbone.py) of this family."""

    vae: Any
    text: CachedText
    schedule: Velocity

    @staticmethod
    def tiny() -> CogVideoX:
        return CogVideoX(_ready(tiny_vae()), CachedText(invented_text(tokens=8, channels=16)), Velocity.make())

    @staticmethod
    def read(base: Path) -> CogVideoX:
        vae = _models.AutoencoderKLCogVideoX.from_pretrained(
            existing(base, "vae"), torch_dtype=torch.bfloat16, local_files_only=True
        )
        return CogVideoX(_ready(vae), CachedText(t5(base, tokens=TEXT_TOKENS, masked=False)), Velocity.make())

    def latents(self, video: Tensor) -> Tensor:
        return encoded(self.vae, video * 2 - 1) * SCALING

    def conditions(self, video: Tensor, trimask: Tensor, *, generator: torch.Generator) -> Tensor:
        strength = told.noise_strength(len(video), generator=generator, device=video.device)
        noisy = told.with_noise(video * 2 - 1, strength, generator=generator)
        shown = encoded(self.vae, noisy) * SCALING
        size = (shown.shape[2], shown.shape[3], shown.shape[4])
        return torch.cat([told.cogvideox_mask(trimask, size=size, scaling=SCALING), shown], dim=1)

    def context(
        self, captions: Sequence[str], first: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        text = self.text(captions).to(first.device)
        if generator is not None:
            without = told.dropped(len(text), TEXT_DROPOUT, generator=generator, device=first.device)
            text = mixed(text, self.text([""]).to(first.device), without)
        return {"text": text}

    def predict(
        self, network: nn.Module, noisy: Tensor, conditions: Tensor, timestep: Tensor, context: dict[str, Tensor]
    ) -> Tensor:
        # This network wants frames before channels.
        stacked = torch.cat([noisy, conditions], dim=1).transpose(1, 2)
        predicted: Tensor = network(
            hidden_states=stacked,
            encoder_hidden_states=context["text"].float(),
            timestep=timestep,
            image_rotary_emb=_rotary(network, stacked),
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2)

    def error(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(predicted.float(), wanted)


def _rotary(network: Any, stacked: Tensor) -> tuple[Tensor, Tensor]:
    config = network.config
    frames, _, height, width = stacked.shape[1:]
    patch, together = config.patch_size, config.patch_size_t
    limit = (config.sample_height // patch, config.sample_width // patch)
    made = get_3d_rotary_pos_embed(
        embed_dim=config.attention_head_dim,
        crops_coords=None,
        grid_size=(height // patch, width // patch),
        temporal_size=frames // together,
        grid_type="slice",
        max_size=limit,
        device=stacked.device,
    )
    cos, sin = made
    return cos, sin


def _ready(vae: Any) -> Any:
    return vae.eval().requires_grad_(False)
