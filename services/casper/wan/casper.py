"""Casper on Wan 2.1: what is its own in the way of `services.casper.large.casper`.

    casper = WanCasper.load(folder, choose(seen_device(), need_at("1.3b"), height=480, width=832, runs=3), size="1.3b")

`folder` is described in `files.py`. Must not know: stages, artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from services.casper.large.casper import Group, LargeCasper, OnWindow, Sampling, Source
from services.casper.large.clip import Clip, OnProgress
from services.casper.large.placement import NeedAt, Placement
from services.casper.large.placing import attention, denoising, on_device, place_denoiser, place_vae
from services.casper.large.tiers import caching, remembering
from services.casper.wan import files, image_context, network
from services.casper.wan.conditions import wan_mask
from services.casper.wan.denoise import Told, denoise, shared_noise
from services.casper.wan.network import SHAPES, Size
from services.casper.wan.text import Prompts
from services.casper.wan.vae import SPATIAL, TEMPORAL, WanVae
from services.errors import BadOption

_READ = 4 * TEMPORAL


class WanCasper(LargeCasper):
    """See `LargeCasper`."""

    # So 81 frames stay 81, one window.
    even_latents: ClassVar[bool] = False

    def __init__(self, network: Any, vae: Any, *, folder: Path, placement: Placement) -> None:
        super().__init__(network, vae, folder=folder, placement=placement)
        self._prompts = Prompts(folder / files.PROMPTS, partial(files.read_text_encoder, folder))
        self._clip_vision: Any = None

    @staticmethod
    def load(folder: Path, placement: Placement, *, size: Size = "1.3b", casper: Path | None = None) -> WanCasper:
        """Load from `folder`; casper: the file of the denoiser or its adapter, if not `folder`/casper.safetensors.

        Raises NotFound if a file is not there, BadOption if it is not this model's (naming the first wrong tensor).
        """
        denoiser = files.read_denoiser(folder, size, dtype=placement.dtype, casper=casper)
        vae = files.read_vae(folder, dtype=placement.dtype)
        place_denoiser(denoiser, placement, blocks=denoiser.blocks)
        place_vae(vae, placement)
        return WanCasper(denoiser, vae, folder=folder, placement=placement)

    def _check(self, sampling: Sampling) -> None:
        if sampling.context not in ("", *image_context.CONTEXTS):
            raise BadOption(
                f"there is no image context {sampling.context!r}; use {' or '.join(image_context.CONTEXTS)}.",
                field="context",
            )

    def _words(self, prompt: str) -> Tensor:
        words = self._prompts(prompt)
        wanted = self._network.config.text_dim
        if words.shape[-1] != wanted:
            raise BadOption(
                f"the embedding of {prompt!r} in {self._folder / files.PROMPTS} has {words.shape[-1]} "
                f"channels, the network needs {wanted}; delete it and run again."
            )
        return words

    def _image(self, clip: Clip, context: str) -> Tensor:
        if context == image_context.ZEROS:
            return image_context.zeros(channels=self._network.config.image_dim)
        if self._clip_vision is None:
            self._clip_vision = files.read_image_encoder(self._folder, dtype=self._placement.dtype)
        # It is used once a clip, so it never stays on the device.
        self._clip_vision.to(self._placement.device)
        try:
            return image_context.first_frame(np.asarray(clip.video[0:1])[0], model=self._clip_vision).cpu()
        finally:
            self._clip_vision.to("cpu")

    def _encoded(self, source: Source, on_progress: OnProgress) -> tuple[Tensor, Tensor]:
        """On the CPU: a window at a time goes to the device."""
        height, width = source.sampling.height, source.sampling.width
        masks: list[Tensor] = []

        def videos() -> Iterator[Tensor]:
            for start, stop in _spans(source.padding.length):
                frames, tri = source.read(start, stop)
                size = (-(-(stop - start) // TEMPORAL), height // SPATIAL, width // SPATIAL)
                masks.append(wan_mask(tri, size=size, begins=start == 0))
                yield frames

        video = []
        with on_device(self._vae, self._placement):
            for latent in WanVae(self._vae).encode(videos()):
                video.append(latent.cpu())
                on_progress(len(video), source.padding.latents, "encoding")
        return torch.cat(video, dim=2), torch.cat(masks, dim=2)

    def _noise(self, latents: int, sampling: Sampling) -> Tensor:
        height, width = sampling.height // SPATIAL, sampling.width // SPATIAL
        return shared_noise(latents, height=height, width=width, seed=sampling.seed)

    def _denoised(self, group: Group, sampling: Sampling, on_window: OnWindow) -> Tensor:
        assert group.image is not None
        words, image = group.words, group.image
        device, dtype = self._placement.device, self._placement.dtype

        def predict(given: Tensor, timestep: float, window: int) -> Tensor:
            with remembering(self._network, sampling.tier, window=window):
                return network.predict(
                    self._network, given.to(device, dtype), timestep=timestep, text=words, image=image
                )

        with (
            denoising(self._network, self._placement),
            attention(self._placement),
            caching(self._network, sampling.tier),
        ):
            told = Told(group.noise, group.masks, group.video)
            return denoise(predict, told, steps=sampling.tier.steps, rule=sampling.rule, on_window=on_window)

    def _decoded(self, latents: Tensor) -> Iterator[Tensor]:
        return WanVae(self._vae).decode([latents])

    def _pieces(self, latents: int) -> int:
        return latents


def _spans(frames: int) -> Iterator[tuple[int, int]]:
    """Frames [start, stop) that are read at once: the first alone, as the VAE takes it, then a few latents' worth."""
    yield 0, 1
    for start in range(1, frames, _READ):
        yield start, min(start + _READ, frames)


def need_at(size: Size) -> NeedAt:
    """What the published model of this size needs (`services.casper.large.placement.choose`)."""
    return network.need_of(SHAPES[size], name=f"Wan {size.upper()} Casper")
