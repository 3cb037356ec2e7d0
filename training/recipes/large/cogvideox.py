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
from torch import Tensor, nn

from services.casper.cogvideox.inputs import cogvideox_mask, rotary
from services.casper.cogvideox.text import TOKENS
from services.casper.cogvideox.tiny import CHANNELS as TINY_CHANNELS
from services.casper.cogvideox.tiny import TOKENS as TINY_TOKENS
from services.casper.cogvideox.tiny import tiny_vae
from services.casper.cogvideox.vae import SCALING
from training.recipes.large import conditions as told
from training.recipes.large.backbone import encoded, mixed
from training.recipes.large.embeddings import CachedText, existing, invented_text, t5
from training.recipes.large.schedules import Velocity

TEXT_DROPOUT = 0.1

# Its classes are only half typed.
_models: Any = diffusers


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
        text = CachedText(invented_text(tokens=TINY_TOKENS, channels=TINY_CHANNELS))
        return CogVideoX(_ready(tiny_vae()), text, Velocity.make())

    @staticmethod
    def read(base: Path) -> CogVideoX:
        vae = _models.AutoencoderKLCogVideoX.from_pretrained(
            existing(base, "vae"), torch_dtype=torch.bfloat16, local_files_only=True
        )
        return CogVideoX(_ready(vae), CachedText(t5(base, tokens=TOKENS, masked=False)), Velocity.make())

    def latents(self, video: Tensor) -> Tensor:
        return encoded(self.vae, video * 2 - 1) * SCALING

    def conditions(self, video: Tensor, trimask: Tensor, *, generator: torch.Generator) -> Tensor:
        strength = told.noise_strength(len(video), generator=generator, device=video.device)
        noisy = told.with_noise(video * 2 - 1, strength, generator=generator)
        shown = encoded(self.vae, noisy) * SCALING
        size = (shown.shape[2], shown.shape[3], shown.shape[4])
        return torch.cat([cogvideox_mask(trimask, size=size), shown], dim=1)

    def context(
        self, captions: Sequence[str], first: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        text = self.text(captions).to(first.device)
        if generator is not None:
            without = told.dropped(len(text), TEXT_DROPOUT, generator=generator, device=first.device)
            text = mixed(text, self.text([""]).to(first.device), without)
        return {"text": text}

    def predict(
        self, network: Any, noisy: Tensor, conditions: Tensor, timestep: Tensor, context: dict[str, Tensor]
    ) -> Tensor:
        # This network wants frames before channels.
        stacked = torch.cat([noisy, conditions], dim=1).transpose(1, 2)
        predicted: Tensor = network(
            hidden_states=stacked,
            encoder_hidden_states=context["text"].float(),
            timestep=timestep,
            image_rotary_emb=rotary(network.config, stacked),
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2)

    def error(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        return F.mse_loss(predicted.float(), wanted)


def _ready(vae: Any) -> Any:
    return vae.eval().requires_grad_(False)
