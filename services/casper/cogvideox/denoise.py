"""The denoising loop of CogVideoX Casper: temporal multidiffusion over latents, several runs of one clip at once.

In every step each window is taken one full DDIM step, and what comes out is blended in float32 (as released:
the update is linear in the prediction, so this equals blending predictions). Latents stay in the network's
dtype between steps, as released; the step itself is computed in float32. Must not know: pixels, the VAE, text encoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.casper.cogvideox.inputs import assembled, rotary
from services.casper.large.tiers import Tier, caching, remembering
from services.casper.large.windows import Rule, blended, plan_windows, ramp_weights
from services.casper.windows import Window

OnWindow = Callable[[int, int], None]


@dataclass(frozen=True)
class Told:
    """What the denoiser is told of a clip, all on its device.

    noise: [1, 16, T', h, w], shared by the runs. masks: [runs, 1, T', h, w]. video: [1, 16, T', h, w], latents of the
    condition video. text: [1, tokens, channels].
    """

    noise: Tensor
    masks: Tensor
    video: Tensor
    text: Tensor


@torch.inference_mode()
def denoise(network: Any, schedule: Any, told: Told, *, tier: Tier, rule: Rule, on_window: OnWindow) -> Tensor:
    """Clean latents [runs, 16, T', h, w] in the dtype of `told.noise`, which is the network's.

    on_window: called as (done, total) after each window of each step; may raise to stop.
    """
    windows = plan_windows(told.noise.shape[2], rule)
    weights = ramp_weights(windows, overlap=rule.overlap)
    schedule.set_timesteps(tier.steps)
    # Pure noise: the first timestep has no signal.
    latents = told.noise.expand(len(told.masks), -1, -1, -1, -1) * schedule.init_noise_sigma
    total = tier.steps * len(windows)
    with caching(network, tier):
        for step, timestep in enumerate(schedule.timesteps):
            results = _stepped(network, schedule, told, latents, windows, tier=tier, timestep=timestep)
            counted = _counted(results, on_window, before=step * len(windows), total=total)
            latents = blended(windows, counted, weights).to(told.noise.dtype)
    return latents


def _stepped(
    network: Any,
    schedule: Any,
    told: Told,
    latents: Tensor,
    windows: tuple[Window, ...],
    *,
    tier: Tier,
    timestep: Tensor,
) -> Iterator[Tensor]:
    """Each window's latents, one step cleaner."""
    for number, window in enumerate(windows):
        inside = slice(window.start, window.stop)
        noisy = latents[:, :, inside]
        with remembering(network, tier, window=number):
            velocity = predicted(
                network, noisy, told.masks[:, :, inside], told.video[:, :, inside], told.text, timestep
            )
        yield schedule.step(velocity.float(), timestep, noisy.float(), return_dict=False)[0].to(latents.dtype)


def predicted(network: Any, noisy: Tensor, mask: Tensor, video: Tensor, text: Tensor, timestep: Tensor) -> Tensor:
    """The network's velocity [B, 16, t', h, w] for one window; t' is even."""
    stacked = assembled(noisy, mask, video)
    velocity: Tensor = network(
        hidden_states=stacked,
        encoder_hidden_states=text.to(noisy.dtype).expand(len(noisy), -1, -1),
        timestep=timestep.to(noisy.device).expand(len(noisy)),
        image_rotary_emb=rotary(network.config, stacked),
        return_dict=False,
    )[0]
    return velocity.transpose(1, 2)


def _counted(results: Iterator[Tensor], on_window: OnWindow, *, before: int, total: int) -> Iterator[Tensor]:
    for done, result in enumerate(results, start=before + 1):
        on_window(done, total)
        yield result
