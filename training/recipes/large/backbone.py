"""What the two families have in common: latents, conditions, a denoiser, a loss.

A `Backbone` holds the parts that are not trained (VAE, embeddings); the denoiser is passed in, because the trainer owns
it. Must not know: which data set the batches come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from services.casper.large.preparation import latent_frames
from training.recipe import Batch
from training.recipes.large.schedules import Flow, Velocity


class Backbone(Protocol):
    """A family of large Caspers. Videos are [B, 3, T, H, W] in 0..1, latents [B, 16, T', h, w]."""

    @property
    def schedule(self) -> Velocity | Flow: ...

    def latents(self, video: Tensor) -> Tensor:
        """The VAE's most likely latents, normalised."""

    def conditions(self, video: Tensor, trimask: Tensor, *, generator: torch.Generator) -> Tensor:
        """Mask and video channels, as they follow the noisy latent's."""

    def predict(
        self, network: nn.Module, noisy: Tensor, conditions: Tensor, timestep: Tensor, context: dict[str, Tensor]
    ) -> Tensor:
        """What the network says, in the schedule's terms: [B, 16, T', h, w]."""

    def context(
        self, captions: Sequence[str], first: Tensor, *, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Embeddings of texts and first frames [B, 3, H, W]; a generator drops some, as in training."""

    def error(self, predicted: Tensor, wanted: Tensor) -> Tensor:
        """The loss, a scalar."""


def casper_loss(backbone: Backbone, network: nn.Module, batch: Batch, generator: torch.Generator) -> Tensor:
    """One denoising error of a large Casper.

    batch: "video", "target" [B, 3, T, H, W] and "trimask" [B, 1, T, H, W], 0..1; "caption", a list of B texts, empty
    where it is missing. These are the keys of training/data/casper.py; others are ignored.
    Raises ValueError if T is not 4k + 1.
    """
    video, target = batch["video"].float(), batch["target"].float()
    latent_frames(video.shape[2])
    captions = batch.get("caption") or [""] * len(video)
    # The VAE is not trained and decides nothing here; in float32 it would only be slow.
    with torch.no_grad():
        clean = backbone.latents(target)
        conditions = backbone.conditions(video, batch["trimask"].float(), generator=generator)
        context = backbone.context(captions, target[:, :, 0], generator=generator)
    noise = torch.randn(clean.shape, generator=generator, device=clean.device)
    timestep = backbone.schedule.drawn(len(clean), generator=generator, device=clean.device)
    noisy = backbone.schedule.noisy(clean, noise, timestep)
    predicted = backbone.predict(network, noisy, conditions, timestep, context)
    return backbone.error(predicted, backbone.schedule.answer(clean, noise, timestep))


def encoded(vae: Any, video: Tensor) -> Tensor:
    """Mode of the VAE's posterior for a video in -1..1, float32. The VAE follows the video to its device."""
    vae.to(video.device)
    found: Tensor = vae.encode(video.to(vae.dtype)).latent_dist.mode()
    return found.float()


def mixed(given: Tensor, replacement: Tensor, instead: Tensor) -> Tensor:
    """`given` [B, ...] with `replacement` in the places where `instead` [B] says so."""
    return torch.where(instead[:, None, None], replacement.to(given), given)
