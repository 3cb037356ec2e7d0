"""Casper on CogVideoX, the whole way: a clip and what is to stay in it -> frames without the rest and its effects.

    casper = CogVideoXCasper.load(folder, choose(seen_device(), need_at, height=384, width=672, runs=3))
    for run, first, frames in casper.remove(clip, [[], [0], [1]], Sampling(seed=7)):
        ...

`folder` is described in `model.py`. Must not know: stages, artifacts, requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from services.casper.cogvideox import inputs, model, text, vae
from services.casper.cogvideox.denoise import Told, denoise
from services.casper.large.clip import Clip, Counter, OnProgress, Part, Video, check
from services.casper.large.clip import read as read_clip
from services.casper.large.placement import Placement
from services.casper.large.placing import attention, denoising, on_device
from services.casper.large.preparation import Padding, padded
from services.casper.large.tiers import FULL, Tier
from services.casper.large.windows import COGVIDEOX, Rule
from services.errors import BadOption, OutOfSpace


@dataclass(frozen=True)
class Sampling:
    """tier: quality. seed: of all noise; runs with the same seed start alike. prompt: describes the clean scene.

    height, width: the model's size, multiples of 16; every clip is resized to it (area, the aspect is not kept), so
    clips themselves may have any size. rule: windows, in latent frames.
    """

    tier: Tier = FULL
    seed: int = 0
    height: int = 384
    width: int = 672
    prompt: str = text.DEFAULT_PROMPT
    rule: Rule = COGVIDEOX

    @property
    def window_frames(self) -> int:
        return vae.decoded_frames(self.rule.window)


STANDARD = Sampling()


class CogVideoXCasper:
    """The loaded model. One thread at a time."""

    def __init__(self, network: Any, vae: Any, schedule: Any, *, folder: Path, placement: Placement) -> None:
        self._network, self._vae, self._schedule = network, vae, schedule
        self._folder, self._placement = folder, placement

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

    def remove(
        self,
        clip: Clip,
        keeps: Sequence[Sequence[int]],
        sampling: Sampling = STANDARD,
        *,
        on_progress: OnProgress = lambda done, total, note: None,
    ) -> Iterator[Part]:
        """Remove from `clip` all objects but those (channels of its masks) in each of `keeps`; one run for each.

        Runs share the encoded clip and all noise, and a run's result does not depend on the others. They come one
        after the other, each in order of its frames, as many as the clip has. Peak memory depends on the size and the
        window; per frame it grows by its latents alone (0.5 MB for 4 frames at 384x672).
        Raises BadOption at once for an impossible size or channel, a prompt that is too long, or a tier that the
        placement does not allow; OutOfSpace while running.
        """
        _check(sampling, keeps, clip, self._placement, config=self._network.config)
        config = self._network.config
        words = text.prompt_embedding(
            self._folder, sampling.prompt, tokens=config.max_text_seq_length, channels=config.text_embed_dim
        )
        return self._parts(clip, keeps, sampling, words, on_progress)

    def _parts(
        self, clip: Clip, keeps: Sequence[Sequence[int]], sampling: Sampling, words: Tensor, on_progress: OnProgress
    ) -> Iterator[Part]:
        padding = padded(len(clip.video), at_least=sampling.window_frames)
        try:
            shown, masks = self._encoded(clip, keeps, sampling, padding, on_progress)
            noise = self._latent_noise(padding.latents, sampling)
            # The cache decides for a whole batch at once: with several runs in it, a result would depend on the others.
            together = 1 if sampling.tier.cache is not None else self._placement.together
            for start in range(0, len(keeps), together):
                group = masks[start : start + together]
                told = Told(noise=noise, masks=group, video=shown, text=words.to(noise))
                progress = Counter(on_progress, "denoising", before=start, here=len(group), total=len(keeps))
                with denoising(self._network, self._placement), attention(self._placement):
                    latents = denoise(
                        self._network,
                        self._schedule,
                        told,
                        tier=sampling.tier,
                        rule=sampling.rule,
                        on_window=progress.of_group,
                    )
                for run, one in enumerate(latents, start=start):
                    yield from self._decoded(
                        one[None], run=run, runs=len(keeps), padding=padding, on_progress=on_progress
                    )
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
        """Latents of the condition video [1, 16, T', h, w], and the mask channel [runs, 1, T', h, w]."""
        masks: list[Tensor] = []

        def read(start: int, stop: int) -> Tensor:
            wanted = padding.indices(start, stop)
            frames, tri = read_clip(clip, keeps, wanted, height=sampling.height, width=sampling.width)
            masks.append(inputs.mask_part(tri, begins=start == 0))
            noise = inputs.condition_noise(
                start, stop, seed=sampling.seed, height=sampling.height, width=sampling.width
            )
            return inputs.with_condition_noise(frames * 2 - 1, noise).to(self._placement.device)

        total = len(vae.encode_spans(padding.length))
        shown = []
        with on_device(self._vae, self._placement):
            for done, part in enumerate(vae.encode(self._vae, read, frames=padding.length), start=1):
                shown.append(part)
                on_progress(done, total, "encoding")
        return torch.cat(shown, dim=2), torch.cat(masks, dim=2).to(shown[0])

    def _latent_noise(self, latents: int, sampling: Sampling) -> Tensor:
        noise = inputs.latent_noise(0, latents, seed=sampling.seed, height=sampling.height, width=sampling.width)
        return noise.to(device=self._placement.device, dtype=self._placement.dtype)

    def _decoded(
        self, latents: Tensor, *, run: int, runs: int, padding: Padding, on_progress: OnProgress
    ) -> Iterator[Part]:
        pieces = len(vae.decode_spans(padding.latents))

        def videos() -> Iterator[tuple[int, Video]]:
            for done, (first, part) in enumerate(vae.decode(self._vae, latents), start=1):
                on_progress(run * pieces + done, runs * pieces, "decoding")
                frames = (part[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
                yield first, np.ascontiguousarray(frames.cpu().numpy())

        with on_device(self._vae, self._placement):
            for first, frames in padding.trimmed(videos()):
                yield Part(run, first, frames)


def _check(
    sampling: Sampling, keeps: Sequence[Sequence[int]], clip: Clip, placement: Placement, *, config: Any
) -> None:
    height, width = sampling.height, sampling.width
    check(clip, keeps, height=height, width=width)
    # Positions beyond the table that the network was built for do not exist.
    limit = [8 * side // config.patch_size * config.patch_size for side in (config.sample_height, config.sample_width)]
    if height > limit[0] or width > limit[1]:
        raise BadOption(f"the model's size {height}x{width} is over its limit {limit[0]}x{limit[1]}.", field="size")
    if sampling.tier.cache is not None and placement.offload == "group":
        raise BadOption(
            f"the tier {sampling.tier.name!r} skips blocks, which offload mode 'group' does not allow; "
            "use another tier, or a GPU with more memory.",
            field="tier",
        )
