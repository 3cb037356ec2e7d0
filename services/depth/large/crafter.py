"""DepthCrafter: depth of long clips by video diffusion (Hu et al., 2024); the choice of the paper (appendix D).

Its U-Net on the latents of Stable Video Diffusion, each window conditioned on the clip itself: on its latents, noised a
little, and on CLIP's embedding of each frame. What comes out is disparity as a grey picture, the mean of its channels.
Beside the released code, noise depends on the seed and the frame's number alone, so that the same request gives the
same depth, and only one window is held: a window's frames are decoded as soon as no later window changes them.
Must not know: artifacts or stages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from numpy.typing import NDArray
from torch import Tensor

from services import frames as frame_sizes
from services.depth.large import images
from services.depth.large.crafter_images import LONG_SIDE, clip_input, network_size
from services.depth.large.crafter_plan import Window, chunked, faded, plan
from services.depth.large.crafter_unet import NOISE, predicted
from services.depth.large.device import Place
from services.depth.large.estimator import Clip, Size, Watch

Floats = NDArray[np.float32]

_LATENT_NOISE, _PIXEL_NOISE = 0, 1
"""Second part of a frame's seed: what the noise is for."""


@dataclass(frozen=True)
class Sampling:
    """How depth is sampled; the defaults are those of the released program.

    steps: denoising steps. guidance: 1 for none. window, overlap: frames. chunk: frames at a time through the VAE and
    CLIP. long_side: most pixels along the longer side. seed: of all noise.
    """

    steps: int = 5
    guidance: float = 1.0
    window: int = 110
    overlap: int = 25
    chunk: int = 8
    long_side: int = LONG_SIDE
    seed: int = 42


DEFAULT = Sampling()


@dataclass(frozen=True)
class Networks:
    """The three networks with their weights; their libraries leave them without types.

    unet: diffusers' UNetSpatioTemporalConditionModel. vae: its AutoencoderKLTemporalDecoder.
    clip: transformers' CLIPVisionModelWithProjection.
    """

    unet: Any
    vae: Any
    clip: Any


@dataclass(frozen=True)
class _Told:
    """What the denoiser is told of frames: condition latents [t, c, h, w] and embeddings [t, d]."""

    latents: Tensor
    embeddings: Tensor


def svd_scheduler() -> Any:
    """The schedule of Stable Video Diffusion: Euler on Karras' noise levels from 700 to 0.002."""
    return EulerDiscreteScheduler(  # type: ignore[no-untyped-call]
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        sigma_min=0.002,
        sigma_max=700.0,
        steps_offset=1,
        timestep_spacing="leading",
        timestep_type="continuous",
        use_karras_sigmas=True,
    )


class DepthCrafter:
    """The model with its weights, which are in the place's dtype already."""

    whole_range = True

    def __init__(self, networks: Networks, place: Place, sampling: Sampling = DEFAULT) -> None:
        self._unet = networks.unet.to(place.device)
        self._vae = networks.vae.to(place.device)
        # Half precision overflows in this encoder; the rest of the model was made for it.
        self._vae.encoder.float()
        self._vae.quant_conv.float()
        self._clip = networks.clip.to(place.device)
        self._place, self._sampling = place, sampling

    def estimate(self, clip: Clip, *, size: Size, watch: Watch) -> Iterator[tuple[int, Floats]]:
        shown = network_size(clip.shape[1], clip.shape[2], long_side=self._sampling.long_side)
        for first, latents in chunked(self._latents(clip, shown, watch=watch), self._sampling.chunk):
            watch.check()
            yield first, images.resized(self._decoded(latents), size)

    def _latents(self, clip: Clip, shown: Size, *, watch: Watch) -> Iterator[tuple[int, Tensor]]:
        """(first frame, finished latents [t, c, h, w]), in order; holds one window."""
        windows = plan(clip.shape[0], window=self._sampling.window, overlap=self._sampling.overlap)
        told: _Told | None = None
        held: Tensor | None = None
        for i, window in enumerate(windows):
            told = self._told(clip, window, shown, before=told, watch=watch)
            latents = self._denoised(told, window, held, done=i, windows=len(windows), watch=watch)
            if held is not None:
                latents = torch.cat([faded(held, latents[: window.shared]), latents[window.shared :]])
            settled = windows[i + 1].start if i + 1 < len(windows) else window.stop
            yield window.start, latents[: settled - window.start]
            held = latents[settled - window.start :]

    def _told(self, clip: Clip, window: Window, shown: Size, *, before: _Told | None, watch: Watch) -> _Told:
        """Conditions of a window; those that it shares with the one before are taken from there."""
        latents = [before.latents[-window.shared :]] if before is not None and window.shared else []
        embeddings = [before.embeddings[-window.shared :]] if before is not None and window.shared else []
        for start in range(window.start + window.shared, window.stop, self._sampling.chunk):
            watch.check()
            numbers = range(start, min(start + self._sampling.chunk, window.stop))
            made = self._encoded(np.concatenate([_shown(clip, t, shown) for t in numbers]), numbers)
            latents.append(made.latents)
            embeddings.append(made.embeddings)
        return _Told(torch.cat(latents), torch.cat(embeddings))

    @torch.inference_mode()
    def _encoded(self, pictures: Floats, numbers: range) -> _Told:
        """Conditions of a few frames [t, 3, h, w] in -1..1, whose numbers in the clip seed their noise."""
        clean = torch.from_numpy(pictures).to(self._place.device)
        embeddings = self._clip(clip_input(clean).to(self._place.dtype)).image_embeds
        noise = np.stack([self._noise(t, pictures.shape[1:], _PIXEL_NOISE) for t in numbers])
        noisy = clean + NOISE * torch.from_numpy(noise).to(clean)
        latents = self._vae.encode(noisy).latent_dist.mode()
        return _Told(latents.to(self._place.dtype), embeddings)

    @torch.inference_mode()
    def _denoised(
        self, told: _Told, window: Window, held: Tensor | None, *, done: int, windows: int, watch: Watch
    ) -> Tensor:
        """Latents [t, c, h, w] float32 of one window; `held`: those of the frames shared with the window before."""
        scheduler = svd_scheduler()
        scheduler.set_timesteps(self._sampling.steps, device=self._place.device)
        noise = self._window_noise(window, told.latents.shape[1:])
        latents = noise * scheduler.init_noise_sigma
        if held is not None:
            latents[: window.shared] = held + noise[: window.shared] * scheduler.sigmas[0]
        for step, time in enumerate(scheduler.timesteps, 1):
            watch.check()
            scaled = scheduler.scale_model_input(latents, time).to(self._place.dtype)
            answer = self._answer(scaled, time, told)
            latents = scheduler.step(answer.float(), time, latents).prev_sample
            watch.progress(done * self._sampling.steps + step, windows * self._sampling.steps, "denoising")
        return latents

    def _answer(self, scaled: Tensor, time: Tensor, told: _Told) -> Tensor:
        answer = predicted(self._unet, torch.cat([scaled, told.latents], dim=1), time, told.embeddings)
        if self._sampling.guidance <= 1:
            return answer
        # Without a condition: neither latents nor embeddings of the clip.
        blank = torch.cat([scaled, torch.zeros_like(told.latents)], dim=1)
        without = predicted(self._unet, blank, time, torch.zeros_like(told.embeddings))
        return without + self._sampling.guidance * (answer - without)

    @torch.inference_mode()
    def _decoded(self, latents: Tensor) -> Floats:
        """Disparity [t, H, W] 0..1 of a chunk of finished latents."""
        scaled = (latents / self._vae.config.scaling_factor).to(self._place.dtype)
        pictures = self._vae.decode(scaled, num_frames=len(scaled)).sample.float()
        return np.asarray((pictures / 2 + 0.5).clamp(0, 1).mean(dim=1).cpu().numpy(), np.float32)

    def _window_noise(self, window: Window, shape: torch.Size) -> Tensor:
        """Standard normal [t, c, h, w]. As in the released code, noise repeats after one window's length."""
        period = self._sampling.window
        noise = [self._noise(t % period, tuple(shape), _LATENT_NOISE) for t in range(window.start, window.stop)]
        return torch.from_numpy(np.stack(noise)).to(self._place.device)

    def _noise(self, frame: int, shape: tuple[int, ...], use: int) -> Floats:
        return np.random.default_rng([self._sampling.seed, use, frame]).standard_normal(shape, np.float32)


def _shown(clip: Clip, t: int, size: Size) -> Floats:
    """[1, 3, h, w] in -1..1."""
    scaled = frame_sizes.resized(clip.frame(t)[None], size.height, size.width)
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2) * 2 - 1, np.float32)
