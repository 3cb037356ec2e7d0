"""Casper on Wan 2.1, the whole way: a clip and what is to stay in it -> frames without the rest and its effects.

    casper = WanCasper.load(folder, choose(seen_device(), need_at("1.3b"), height=480, width=832, runs=3), size="1.3b")
    for run, first, frames in casper.remove(clip, [[], [0], [1]], Sampling(seed=7)):
        ...

`folder` is described in `files.py`. Must not know: stages, artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.casper.large.clip import Clip, Counter, OnProgress, Part, Video, check, read
from services.casper.large.placement import NeedAt, Placement
from services.casper.large.placing import attention, denoising, on_device, place_denoiser, place_vae
from services.casper.large.preparation import Padding, padded
from services.casper.large.tiers import FULL, Tier, caching, remembering
from services.casper.large.windows import WAN, Rule
from services.casper.wan import files, image_context, network
from services.casper.wan.conditions import wan_mask
from services.casper.wan.denoise import Told, denoise, shared_noise
from services.casper.wan.image_context import Context
from services.casper.wan.network import SHAPES, Size
from services.casper.wan.text import DEFAULT_PROMPT, Prompts
from services.casper.wan.vae import SPATIAL, TEMPORAL, WanVae
from services.errors import BadOption, OutOfSpace

_READ = 4 * TEMPORAL


@dataclass(frozen=True)
class Sampling:
    """tier: quality. seed: of the noise; runs with the same seed start alike. prompt: describes the clean scene.

    height, width: the model's size, multiples of 16; every clip is resized to it (area, the aspect is not kept), so
    clips themselves may have any size. rule: windows, in latent frames. context: what CLIP sees (image_context.py).
    """

    tier: Tier = FULL
    seed: int = 0
    height: int = 480
    width: int = 832
    prompt: str = DEFAULT_PROMPT
    rule: Rule = WAN
    context: Context = "first_frame"

    @property
    def window_frames(self) -> int:
        return TEMPORAL * (self.rule.window - 1) + 1


class WanCasper:
    """The loaded model. One thread at a time."""

    def __init__(self, network: Any, vae: Any, *, folder: Path, placement: Placement) -> None:
        self._network, self._vae = network, vae
        self._folder, self._placement = folder, placement
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

    def remove(
        self,
        clip: Clip,
        keeps: Sequence[Sequence[int]],
        sampling: Sampling = Sampling(),
        *,
        on_progress: OnProgress = lambda done, total, note: None,
    ) -> Iterator[Part]:
        """Remove from `clip` all objects but those (channels of its masks) in each of `keeps`; one run for each.

        Runs share the encoded clip and the noise, and a run's result does not depend on the others. They come one
        after the other, each in order of its frames, as many as the clip has. Peak memory depends on the size and the
        window; per frame it grows by its latents alone (0.5 MB for 4 frames at 480x832, plus 0.9 MB for each run).
        Raises BadOption at once for an impossible size or channel, a prompt that is too long, or a tier that the
        placement does not allow; NotFound if an encoder is needed and not there; OutOfSpace while running.
        """
        check(clip, keeps, height=sampling.height, width=sampling.width)
        if sampling.tier.cache is not None and self._placement.offload == "group":
            raise BadOption(
                f"the tier {sampling.tier.name!r} skips blocks, which offload mode 'group' does not allow; "
                "use another tier, or a GPU with more memory.",
                field="tier",
            )
        text = self._prompts(sampling.prompt)
        wanted = self._network.config.text_dim
        if text.shape[-1] != wanted:
            raise BadOption(
                f"the embedding of {sampling.prompt!r} in {self._folder / files.PROMPTS} has {text.shape[-1]} "
                f"channels, the network needs {wanted}; delete it and run again."
            )
        return self._parts(clip, keeps, sampling, text, self._image(clip, sampling.context), on_progress)

    def _parts(
        self,
        clip: Clip,
        keeps: Sequence[Sequence[int]],
        sampling: Sampling,
        text: Tensor,
        image: Tensor,
        on_progress: OnProgress,
    ) -> Iterator[Part]:
        # Wan does not pair its latents, so 81 frames stay 81, one window.
        padding = padded(len(clip.video), at_least=sampling.window_frames, even_latents=False)
        try:
            video, masks = self._encoded(clip, keeps, sampling, padding, on_progress)
            noise = shared_noise(padding.latents, height=video.shape[3], width=video.shape[4], seed=sampling.seed)
            # The cache decides for a whole batch at once: with several runs in it, a result would depend on the others.
            together = 1 if sampling.tier.cache is not None else self._placement.together
            for start in range(0, len(keeps), together):
                told = Told(noise, masks[start : start + together], video)
                progress = Counter(on_progress, "denoising", before=start, here=len(told.masks), total=len(keeps))
                latents = self._denoised(told, sampling, text, image, progress)
                for run, one in enumerate(torch.split(latents, 1), start=start):
                    yield from self._decoded(one, run=run, runs=len(keeps), padding=padding, on_progress=on_progress)
        except torch.OutOfMemoryError as error:
            raise OutOfSpace(
                f"the GPU ran out of memory at {sampling.height}x{sampling.width} with {self._placement.together} runs "
                f"together (offload {self._placement.offload!r}); use a smaller size, fewer runs or more offloading."
            ) from error

    def _encoded(
        self,
        clip: Clip,
        keeps: Sequence[Sequence[int]],
        sampling: Sampling,
        padding: Padding,
        on_progress: OnProgress,
    ) -> tuple[Tensor, Tensor]:
        """Latents of the condition video [1, 16, T', h, w], and masks [runs, 4, T', h, w], on the CPU."""
        height, width = sampling.height, sampling.width
        masks: list[Tensor] = []

        def videos() -> Iterator[Tensor]:
            for start, stop in _spans(padding.length):
                wanted = padding.indices(start, stop)
                frames, tri = read(clip, keeps, wanted, height=height, width=width)
                size = (-(-(stop - start) // TEMPORAL), height // SPATIAL, width // SPATIAL)
                masks.append(wan_mask(tri, size=size, begins=start == 0))
                yield frames * 2 - 1

        video = []
        with on_device(self._vae, self._placement):
            for latent in WanVae(self._vae).encode(videos()):
                video.append(latent.cpu())
                on_progress(len(video), padding.latents, "encoding")
        return torch.cat(video, dim=2), torch.cat(masks, dim=2)

    def _image(self, clip: Clip, context: Context) -> Tensor:
        if context == "zeros":
            return image_context.zeros(channels=self._network.config.image_dim)
        if self._clip_vision is None:
            self._clip_vision = files.read_image_encoder(self._folder, dtype=self._placement.dtype)
        # It is used once a clip, so it never stays on the device.
        self._clip_vision.to(self._placement.device)
        try:
            return image_context.first_frame(np.asarray(clip.video[0:1])[0], model=self._clip_vision).cpu()
        finally:
            self._clip_vision.to("cpu")

    def _denoised(self, told: Told, sampling: Sampling, text: Tensor, image: Tensor, progress: Counter) -> Tensor:
        device, dtype = self._placement.device, self._placement.dtype

        def predict(given: Tensor, timestep: float, window: int) -> Tensor:
            with remembering(self._network, sampling.tier, window=window):
                return network.predict(
                    self._network, given.to(device, dtype), timestep=timestep, text=text, image=image
                )

        with (
            denoising(self._network, self._placement),
            attention(self._placement),
            caching(self._network, sampling.tier),
        ):
            return denoise(predict, told, steps=sampling.tier.steps, rule=sampling.rule, on_window=progress.of_group)

    def _decoded(
        self, latents: Tensor, *, run: int, runs: int, padding: Padding, on_progress: OnProgress
    ) -> Iterator[Part]:
        def videos() -> Iterator[tuple[int, Video]]:
            first = 0
            for done, part in enumerate(WanVae(self._vae).decode([latents]), start=1):
                on_progress(run * padding.latents + done, runs * padding.latents, "decoding")
                frames = (part[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
                yield first, np.ascontiguousarray(frames.cpu().numpy())
                first += part.shape[2]

        with on_device(self._vae, self._placement):
            for first, frames in padding.trimmed(videos()):
                yield Part(run, first, frames)


def _spans(frames: int) -> Iterator[tuple[int, int]]:
    """Frames [start, stop) that are read at once: the first alone, as the VAE takes it, then a few latents' worth."""
    yield 0, 1
    for start in range(1, frames, _READ):
        yield start, min(start + _READ, frames)


def need_at(size: Size) -> NeedAt:
    """What the published model of this size needs (`services.casper.large.placement.choose`)."""
    return network.need_of(SHAPES[size], name=f"Wan {size.upper()} Casper")
