"""Casper on Wan 2.1 Fun InP, 1.3B whole or 14B by an adapter: rectified flow on 36 channels (16 noisy latent, 4 mask,
16 condition video).

The denoiser also sees a CLIP context. In training that is the first frame of the *clean* target, left out in one clip
of ten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import LoraConfig
from torch import Tensor, nn

from services.casper.wan import tiny
from services.casper.wan.conditions import wan_mask
from services.casper.wan.network import IN_CHANNELS
from services.casper.wan.text import TOKENS
from services.errors import BadOption
from training.recipes.large import conditions as told
from training.recipes.large.backbone import encoded, mixed
from training.recipes.large.embeddings import (
    CachedText,
    ImageEncoder,
    clip_vision,
    existing,
    invented_image,
    invented_text,
    t5,
)
from training.recipes.large.schedules import Flow, bounded_error

DROPOUT = 0.1
ERROR_LIMIT = 50.0
LORA_RANK, LORA_ALPHA = 128, 64

# Its classes are only half typed.
_models: Any = diffusers


def tiny_network() -> Any:
    """The same shape of network with few random weights, ready to be trained."""
    return tiny.tiny_network().requires_grad_(True)


def read_network(base: Path, *, frozen: bool = False) -> nn.Module:
    """The denoiser in `base`: float32 to train it whole, bfloat16 under an adapter. Raises BadOption."""
    folder = existing(base, "transformer")
    network: Any = _models.WanTransformer3DModel.from_pretrained(
        folder, torch_dtype=torch.bfloat16 if frozen else torch.float32, local_files_only=True
    )
    if network.config.in_channels != IN_CHANNELS:
        raise BadOption(
            f"{folder} takes {network.config.in_channels} channels, not {IN_CHANNELS}; "
            "use a Wan 2.1 Fun InP model in diffusers' layout."
        )
    network.enable_gradient_checkpointing()
    return network


def with_adapter(network: Any, *, rank: int = LORA_RANK, alpha: int = LORA_ALPHA) -> nn.Module:
    """`network` frozen, with a low-rank adapter on every linear layer, embeddings and head included."""
    linear = [name for name, part in network.named_modules() if isinstance(part, nn.Linear)]
    network.requires_grad_(False)
    network.add_adapter(LoraConfig(r=rank, lora_alpha=alpha, target_modules=linear, init_lora_weights=True))
    for weight in network.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return network


@dataclass
class Wan:
    """The `Backbone` (backbone.py) of this family."""

    vae: Any
    text: CachedText
    image: ImageEncoder
    schedule: Flow

    @staticmethod
    def tiny() -> Wan:
        # Its attention takes everything before the last 512 tokens for the image.
        text = CachedText(invented_text(tokens=TOKENS, channels=tiny.SHAPE.text_dim))
        image = invented_image(tokens=4, channels=tiny.SHAPE.image_dim)
        return Wan(tiny.tiny_vae(), text, image, Flow.make())

    @staticmethod
    def read(base: Path) -> Wan:
        vae = _models.AutoencoderKLWan.from_pretrained(
            existing(base, "vae"), torch_dtype=torch.bfloat16, local_files_only=True
        )
        text = CachedText(t5(base, tokens=TOKENS, masked=True))
        return Wan(_ready(vae), text, clip_vision(base), Flow.make())

    def latents(self, video: Tensor) -> Tensor:
        raw = encoded(self.vae, video * 2 - 1)
        config = self.vae.config
        mean, spread = (
            torch.tensor(values, device=raw.device)[:, None, None, None]
            for values in (config.latents_mean, config.latents_std)
        )
        return (raw - mean) / spread

    def conditions(self, video: Tensor, trimask: Tensor, *, generator: torch.Generator) -> Tensor:
        shown = self.latents(video)
        size = (shown.shape[2], shown.shape[3], shown.shape[4])
        return torch.cat([wan_mask(trimask, size=size), shown], dim=1)

    def context(
        self, captions: Sequence[str], first: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        text, image = self.text(captions).to(first.device), self.image(first).float()
        if generator is not None:
            without = told.dropped(len(text), DROPOUT, generator=generator, device=first.device)
            text = mixed(text, self.text([""]).to(first.device), without)
            without = told.dropped(len(text), DROPOUT, generator=generator, device=first.device)
            image = mixed(image, torch.zeros(()), without)
        return {"text": text, "image": image}

    def predict(
        self, network: nn.Module, noisy: Tensor, conditions: Tensor, timestep: Tensor, context: dict[str, Tensor]
    ) -> Tensor:
        kind = next(network.parameters()).dtype
        predicted: Tensor = network(
            hidden_states=torch.cat([noisy, conditions], dim=1).to(kind),
            timestep=timestep,
            encoder_hidden_states=context["text"].to(kind),
            encoder_hidden_states_image=context["image"].to(kind),
            return_dict=False,
        )[0]
        return predicted

    def error(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        return bounded_error(predicted, wanted, limit=ERROR_LIMIT)


def _ready(vae: Any) -> Any:
    return vae.eval().requires_grad_(False)
