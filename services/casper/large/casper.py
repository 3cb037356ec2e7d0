"""A published Casper, the whole way: a clip and what is to stay in it -> frames without the rest and its effects.

    for run, first, frames in casper.remove(clip, [[], [0], [1]], replace(family.standard, seed=7)):
        ...

The order of the work is here, and what the families do alike; `cogvideox/casper.py` and `wan/casper.py` fill in the
rest. Must not know: a family's networks, stages, artifacts, requests.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from services.casper.large.clip import Clip, Counter, OnProgress, Part, Video, check, read
from services.casper.large.kept import DEFAULT_PROMPT
from services.casper.large.placement import Placement
from services.casper.large.placing import on_device
from services.casper.large.preparation import Padding, padded
from services.casper.large.tiers import FULL, Tier
from services.casper.large.windows import Rule
from services.errors import BadOption, OutOfSpace

OnWindow = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampling:
    """How to sample (`services.casper.large.families` has the standard of each family).

    Attributes:
        height, width: the model's size, multiples of 16; every clip is resized to it (area, the aspect is not kept), so
            clips themselves may have any size.
        rule: windows, in latent frames.
        tier: quality.
        seed: of all noise; runs with the same seed start alike.
        prompt: describes the clean scene.
        context: what a picture encoder is shown, where the family has one; "" is its own choice.
    """

    height: int
    width: int
    rule: Rule
    tier: Tier = FULL
    seed: int = 0
    prompt: str = DEFAULT_PROMPT
    context: str = ""

    @property
    def window_frames(self) -> int:
        """Frames of one window: a latent stands for four, the first for one."""
        return 4 * (self.rule.window - 1) + 1


@dataclass(frozen=True)
class Source:
    """A clip as one call of `remove` reads it."""

    clip: Clip
    keeps: Sequence[Sequence[int]]
    sampling: Sampling
    padding: Padding

    def read(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Frames [start, stop) of the padded clip, [1, 3, t, H, W] in -1..1, and trimasks [runs, 1, t, H, W]."""
        wanted = self.padding.indices(start, stop)
        frames, tri = read(self.clip, self.keeps, wanted, height=self.sampling.height, width=self.sampling.width)
        return frames * 2 - 1, tri


@dataclass(frozen=True)
class Group:
    """Runs that go through the denoiser together.

    noise: [1, 16, T', h, w], shared by the runs. masks: [runs, C, T', h, w]. video: [1, 16, T', h, w], latents of the
    condition video. words: of the prompt. image: of the picture encoder, None where there is none.
    """

    noise: Tensor
    masks: Tensor
    video: Tensor
    words: Tensor
    image: Tensor | None = None


class LargeCasper(ABC):
    """The loaded model. One thread at a time."""

    even_latents: ClassVar[bool]
    """Whether the network takes latents in pairs."""

    def __init__(self, network: Any, vae: Any, *, folder: Path, placement: Placement) -> None:
        self._network, self._vae = network, vae
        self._folder, self._placement = folder, placement

    @abstractmethod
    def _check(self, sampling: Sampling) -> None:
        """Raises BadOption for what this family in particular cannot do."""

    @abstractmethod
    def _words(self, prompt: str) -> Tensor:
        """The prompt's embedding. Raises BadOption for one that is too long, NotFound without an encoder."""

    def _image(self, clip: Clip, context: str) -> Tensor | None:
        """What the picture encoder says, where there is one. Raises NotFound without its weights."""
        return None

    @abstractmethod
    def _encoded(self, source: Source, on_progress: OnProgress) -> tuple[Tensor, Tensor]:
        """Latents of the condition video and the mask channels of all runs, as `Group` has them."""

    @abstractmethod
    def _noise(self, latents: int, sampling: Sampling) -> Tensor:
        """The noise that all runs start from."""

    @abstractmethod
    def _denoised(self, group: Group, sampling: Sampling, on_window: OnWindow) -> Tensor:
        """Clean latents [runs, 16, T', h, w]; on_window: called as (done, total), may raise to stop."""

    @abstractmethod
    def _decoded(self, latents: Tensor) -> Iterator[Tensor]:
        """The video of latents [1, 16, T', h, w], in pieces [1, 3, t, H, W] in about -1..1."""

    @abstractmethod
    def _pieces(self, latents: int) -> int:
        """How many pieces `_decoded` makes."""

    def remove(
        self,
        clip: Clip,
        keeps: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        on_progress: OnProgress = lambda done, total, note: None,
    ) -> Iterator[Part]:
        """Remove from `clip` all objects but those (channels of its masks) in each of `keeps`; one run for each.

        Runs share the encoded clip and all noise, and a run's result does not depend on the others. They come one
        after the other, each in order of its frames, as many as the clip has. Peak memory depends on the size and the
        window; per frame it grows by its latents alone (about 0.5 MB for 4 frames, and for Wan 0.9 MB for each run).
        Raises BadOption at once for an impossible size or channel, a prompt that is too long, or a tier that the
        placement does not allow; NotFound if an encoder is needed and not there; OutOfSpace while running.
        """
        check(clip, keeps, height=sampling.height, width=sampling.width)
        self._check(sampling)
        if sampling.tier.cache is not None and self._placement.offload == "group":
            raise BadOption(
                f"the tier {sampling.tier.name!r} skips blocks, which offload mode 'group' does not allow; "
                "use another tier, or a GPU with more memory.",
                field="tier",
            )
        padding = padded(clip.video.shape[0], at_least=sampling.window_frames, even_latents=self.even_latents)
        words, image = self._words(sampling.prompt), self._image(clip, sampling.context)
        return self._parts(Source(clip, keeps, sampling, padding), words, image, on_progress)

    def _parts(self, source: Source, words: Tensor, image: Tensor | None, on_progress: OnProgress) -> Iterator[Part]:
        sampling, runs = source.sampling, len(source.keeps)
        # The cache decides for a whole batch at once: with several runs in it, a result would depend on the others.
        together = 1 if sampling.tier.cache is not None else self._placement.together
        try:
            video, masks = self._encoded(source, on_progress)
            noise = self._noise(source.padding.latents, sampling)
            for start in range(0, runs, together):
                group = Group(noise, masks[start : start + together], video, words, image)
                progress = Counter(on_progress, "denoising", before=start, here=len(group.masks), total=runs)
                latents = self._denoised(group, sampling, progress.of_group)
                for run, one in enumerate(torch.split(latents, 1), start=start):
                    yield from self._frames(one, run, source, on_progress)
        except torch.OutOfMemoryError as error:
            raise OutOfSpace(
                f"the GPU ran out of memory at {sampling.height}x{sampling.width} with {self._placement.together} runs "
                f"together (offload {self._placement.offload!r}); use a smaller size, fewer runs or more offloading."
            ) from error

    def _frames(self, latents: Tensor, run: int, source: Source, on_progress: OnProgress) -> Iterator[Part]:
        pieces = self._pieces(source.padding.latents)

        def videos() -> Iterator[tuple[int, Video]]:
            first = 0
            for done, part in enumerate(self._decoded(latents), start=1):
                on_progress(run * pieces + done, len(source.keeps) * pieces, "decoding")
                frames = (part[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 3, 0)
                yield first, np.ascontiguousarray(frames.cpu().numpy())
                first += part.shape[2]

        with on_device(self._vae, self._placement):
            for first, frames in source.padding.trimmed(videos()):
                yield Part(run, first, frames)
