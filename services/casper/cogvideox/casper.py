"""Casper on CogVideoX-Fun: what is its own in the way of `services.casper.large.casper`.

    casper = CogVideoXCasper.load(folder, choose(seen_device(), need_at, height=384, width=672, runs=3))

`folder` is described in `model.py`. Must not know: stages, artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from services.casper.cogvideox import inputs, model, text, vae
from services.casper.cogvideox.denoise import Told, denoise
from services.casper.large.casper import Group, LargeCasper, OnWindow, Sampling, Source
from services.casper.large.clip import OnProgress
from services.casper.large.placement import Placement
from services.casper.large.placing import attention, denoising, on_device
from services.errors import BadOption


class CogVideoXCasper(LargeCasper):
    """See `LargeCasper`."""

    even_latents: ClassVar[bool] = True

    def __init__(self, network: Any, vae: Any, schedule: Any, *, folder: Path, placement: Placement) -> None:
        super().__init__(network, vae, folder=folder, placement=placement)
        self._schedule = schedule

    @staticmethod
    def load(folder: Path, placement: Placement, *, casper: Path | None = None) -> CogVideoXCasper:
        """Load from `folder`; casper: the denoiser's checkpoint, if it is not `folder`/casper.safetensors.

        Raises NotFound if a file is not there, BadOption if it is not this model's (naming the first wrong tensor).
        """
        return CogVideoXCasper(
            model.read_denoiser(folder, placement, casper=casper),
            model.read_vae(folder, placement),
            model.make_schedule(folder),
            folder=folder,
            placement=placement,
        )

    def _check(self, sampling: Sampling) -> None:
        config, height, width = self._network.config, sampling.height, sampling.width
        # Positions beyond the table that the network was built for do not exist.
        limit = [
            8 * side // config.patch_size * config.patch_size for side in (config.sample_height, config.sample_width)
        ]
        if height > limit[0] or width > limit[1]:
            raise BadOption(f"the model's size {height}x{width} is over its limit {limit[0]}x{limit[1]}.", field="size")
        if sampling.context:
            raise BadOption("CogVideoX has no picture encoder, so no image context; leave it out.", field="context")

    def _words(self, prompt: str) -> Tensor:
        config = self._network.config
        return text.prompt_embedding(
            self._folder, prompt, tokens=config.max_text_seq_length, channels=config.text_embed_dim
        )

    def _encoded(self, source: Source, on_progress: OnProgress) -> tuple[Tensor, Tensor]:
        sampling, frames = source.sampling, source.padding.length
        masks: list[Tensor] = []

        def read(start: int, stop: int) -> Tensor:
            video, tri = source.read(start, stop)
            masks.append(inputs.mask_part(tri, begins=start == 0))
            noise = inputs.condition_noise(
                start, stop, seed=sampling.seed, height=sampling.height, width=sampling.width
            )
            return inputs.with_condition_noise(video, noise).to(self._placement.device)

        shown, total = [], len(vae.encode_spans(frames))
        with on_device(self._vae, self._placement):
            for done, part in enumerate(vae.encode(self._vae, read, frames=frames), start=1):
                shown.append(part)
                on_progress(done, total, "encoding")
        return torch.cat(shown, dim=2), torch.cat(masks, dim=2).to(shown[0])

    def _noise(self, latents: int, sampling: Sampling) -> Tensor:
        noise = inputs.latent_noise(0, latents, seed=sampling.seed, height=sampling.height, width=sampling.width)
        return noise.to(device=self._placement.device, dtype=self._placement.dtype)

    def _denoised(self, group: Group, sampling: Sampling, on_window: OnWindow) -> Tensor:
        words = group.words.to(group.noise)
        told = Told(noise=group.noise, masks=group.masks, video=group.video, text=words)
        with denoising(self._network, self._placement), attention(self._placement):
            return denoise(
                self._network, self._schedule, told, tier=sampling.tier, rule=sampling.rule, on_window=on_window
            )

    def _decoded(self, latents: Tensor) -> Iterator[Tensor]:
        for _, part in vae.decode(self._vae, latents):
            yield part

    def _pieces(self, latents: int) -> int:
        return len(vae.decode_spans(latents))
