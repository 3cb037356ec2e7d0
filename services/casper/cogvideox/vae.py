"""CogVideoX's VAE in pieces: clips of any length in the memory of a few frames.

The VAE is causal in time, so a piece needs of its past only what each convolution saw last (the "conv cache"). Its
group normalisation looks at one piece at a time: the pieces below are therefore part of the model, not a choice.
- encode: 8 frames; the first piece also takes the remainder (5 for a padded clip). As diffusers does on a whole clip.
- decode: 1 latent, then 2, 2, ..., and every latent but the first gives 4 frames. diffusers starts with pairs instead
  and makes 88 frames of 22 latents, where the released model makes 85.
Latents are the posterior's mode times 0.7. The `invert_scale_latents` of a VAE's configuration is ignored, as in
training. Must not know: masks, noise, the denoiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALING = 0.7
LATENT_CHANNELS = 16
STRIDE = 8
"""Pixels per latent, in height and width."""
_PIECE = 8

Span = tuple[int, int]


def encode_spans(frames: int) -> list[Span]:
    """Frames [start, stop) of each piece to encode."""
    first = frames if frames < 2 * _PIECE else _PIECE + frames % _PIECE
    return [(0, first), *((start, start + _PIECE) for start in range(first, frames, _PIECE))]


def decode_spans(latents: int) -> list[Span]:
    """Latents [start, stop) of each piece to decode."""
    return [(0, 1), *((start, min(start + 2, latents)) for start in range(1, latents, 2))]


def decoded_frames(latents: int) -> int:
    return 4 * (latents - 1) + 1


@torch.inference_mode()
def encode(vae: Any, read: Callable[[int, int], Tensor], *, frames: int) -> Iterator[Tensor]:
    """Scaled latents [B, 16, t', h, w] of a clip, piece by piece, in the VAE's dtype.

    read: frames [start, stop) as [B, 3, t, H, W] in -1..1, on the VAE's device.
    """
    cache = None
    for start, stop in encode_spans(frames):
        moments, cache = vae.encoder(read(start, stop).to(vae.dtype), conv_cache=cache)
        if vae.quant_conv is not None:
            moments = vae.quant_conv(moments)
        # The first half is the posterior's mean, which is its mode.
        yield moments.chunk(2, dim=1)[0] * SCALING


@torch.inference_mode()
def decode(vae: Any, latents: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(First frame, frames [B, 3, t, H, W] in about -1..1) of scaled latents [B, 16, T', h, w]: 1, then 8 at a time."""
    cache, done = None, 0
    for start, stop in decode_spans(latents.shape[2]):
        part = latents[:, :, start:stop].to(vae.dtype) / SCALING
        if vae.post_quant_conv is not None:
            part = vae.post_quant_conv(part)
        with _always_doubling(vae.decoder, start > 0):
            video, cache = vae.decoder(part, conv_cache=cache)
        yield done, video
        done += video.shape[2]


@contextmanager
def _always_doubling(decoder: Any, later: bool) -> Iterator[None]:
    """While inside, upsampling in time doubles also a single latent, which otherwise counts as a clip's first."""
    ups = [up for block in decoder.up_blocks for up in block.upsamplers or [] if up.compress_time] if later else []
    for up in ups:
        up.forward = partial(_doubled, up)
    try:
        yield
    finally:
        for up in ups:
            del up.forward


def _doubled(up: nn.Module, x: Tensor) -> Tensor:
    """[B, C, t, h, w] to twice its time, height and width, then the layer's convolution on each frame."""
    x = F.interpolate(x, scale_factor=2.0)
    frames = x.permute(0, 2, 1, 3, 4)
    flat: Tensor = up.conv(frames.flatten(0, 1))  # type: ignore[operator]
    return flat.reshape(*frames.shape[:2], *flat.shape[1:]).permute(0, 2, 1, 3, 4)
