"""Wan's video autoencoder over clips of any length: a few latents at a time, with the features that cross the cuts.

Every convolution in time is causal and keeps the last two frames of its input; handed on from piece to piece, they make
the pieces' results those of the whole clip, so memory holds one piece whatever the clip's length. The model is
diffusers' AutoencoderKLWan, which neither keeps its latents normalised nor reads a clip piece by piece; both are here.
Must not know: masks, the denoiser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanCausalConv3d
from torch import Tensor, nn

TEMPORAL, SPATIAL = 4, 8
CHANNELS = 16


class WanVae:
    """model: AutoencoderKLWan, in evaluation mode. piece: latents that are worked on together; more is faster."""

    def __init__(self, model: Any, *, piece: int = 1) -> None:
        self.model = model
        self._piece = piece

    @torch.no_grad()
    def encode(self, video: Iterable[Tensor]) -> Iterator[Tensor]:
        """Most likely latents of a clip, normalised: pieces [1, 16, t', h, w] float32, in order.

        video: the clip in pieces [1, 3, t, H, W] of any lengths, -1..1; H and W multiples of 8, 4k + 1 frames in all.
        Raises ValueError, after the last whole latent, if there are frames left over.
        """
        encoder, cache = self.model.encoder, _empty_cache(self.model.encoder)
        for frames in _regrouped(video, first=1, following=TEMPORAL * self._piece):
            features = encoder(self._given(frames), feat_cache=cache, feat_idx=[0])
            likely = self.model.quant_conv(features)[:, :CHANNELS].float()
            mean, spread = self._statistics(likely)
            yield (likely - mean) / spread

    @torch.no_grad()
    def decode(self, latents: Iterable[Tensor]) -> Iterator[Tensor]:
        """The clip of normalised latents (pieces [1, 16, t', h, w]): pieces [1, 3, t, H, W] float32 in -1..1.

        The first latent is one frame, every other four.
        """
        decoder, cache = self.model.decoder, _empty_cache(self.model.decoder)
        for i, part in enumerate(_regrouped(latents, first=1, following=self._piece, whole=False)):
            mean, spread = self._statistics(part)
            features = self.model.post_quant_conv(self._given(part.float() * spread + mean))
            frames = decoder(features, feat_cache=cache, feat_idx=[0], first_chunk=i == 0)
            yield frames.float().clamp(-1, 1)

    def _given(self, part: Tensor) -> Tensor:
        weight = self.model.post_quant_conv.weight
        return part.to(weight.device, weight.dtype)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        config = self.model.config
        mean, spread = (
            torch.tensor(values, device=like.device, dtype=torch.float32)[:, None, None, None]
            for values in (config.latents_mean, config.latents_std)
        )
        return mean, spread


def _empty_cache(half: nn.Module) -> list[Tensor | None]:
    """A place for each causal convolution's last frames."""
    return [None] * sum(isinstance(part, WanCausalConv3d) for part in half.modules())


def _regrouped(parts: Iterable[Tensor], *, first: int, following: int, whole: bool = True) -> Iterator[Tensor]:
    """The same frames in pieces of `first`, then `following` frames; the last may be shorter.

    whole: its length must be a multiple of TEMPORAL all the same; ValueError if it is not.
    """
    held: list[Tensor] = []
    wanted = first
    for part in parts:
        held.append(part)
        while sum(piece.shape[2] for piece in held) >= wanted:
            joined = torch.cat(held, dim=2)
            yield joined[:, :, :wanted]
            held = [joined[:, :, wanted:]]
            wanted = following
    rest = sum(piece.shape[2] for piece in held)
    if whole and rest % TEMPORAL:
        raise ValueError(f"{rest % TEMPORAL} frames are left over after the last whole latent; pad to 4k + 1 frames")
    if rest:
        yield torch.cat(held, dim=2)
