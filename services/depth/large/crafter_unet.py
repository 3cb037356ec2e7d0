"""Stable Video Diffusion's U-Net as DepthCrafter uses it: every frame is told its own picture.

diffusers' class gives one image embedding to all frames; DepthCrafter gives each frame that of the frame itself
(Hu et al., 2024, section 3.2). The blocks and weights are the class's own.
Must not know: windows, schedules, or where embeddings come from.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

FRAMES_PER_SECOND, MOTION, NOISE = 7, 127, 0.02
"""What the network is told of every clip: frame rate, amount of motion, noise on the condition."""


def predicted(unet: Any, sample: Tensor, time: Tensor, embeddings: Tensor) -> Tensor:
    """The network's answer [T, c, h, w] for one window.

    unet: diffusers' UNetSpatioTemporalConditionModel, which comes without types.
    sample: [T, 2c, h, w], noisy latents and condition latents; h and w multiples of 8. time: a number.
    embeddings: [T, d], of each frame. All in the network's dtype, except `time`.
    """
    frames = len(sample)
    level = _level(unet, time, frames=frames, like=sample)
    told = embeddings[:, None]
    # 0: a frame is part of a video, not a picture of its own.
    alone = torch.zeros(1, frames, dtype=sample.dtype, device=sample.device)

    x = unet.conv_in(sample)
    skips = [x]
    for block in unet.down_blocks:
        x, made = block(x, temb=level, image_only_indicator=alone, **_told(block, told))
        skips.extend(made)
    x = unet.mid_block(x, temb=level, encoder_hidden_states=told, image_only_indicator=alone)
    for block in unet.up_blocks:
        count = len(block.resnets)
        used, skips = tuple(skips[-count:]), skips[:-count]
        x = block(x, temb=level, res_hidden_states_tuple=used, image_only_indicator=alone, **_told(block, told))
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def _told(block: torch.nn.Module, embeddings: Tensor) -> dict[str, Tensor]:
    return {"encoder_hidden_states": embeddings} if getattr(block, "has_cross_attention", False) else {}


def _level(unet: Any, time: Tensor, *, frames: int, like: Tensor) -> Tensor:
    """[T, e]: the noise level and the facts of the clip, the same for every frame."""
    level = unet.time_embedding(unet.time_proj(time.reshape(1).to(like.device)).to(like.dtype))
    facts = torch.tensor([FRAMES_PER_SECOND, MOTION, NOISE], dtype=like.dtype, device=like.device)
    level = level + unet.add_embedding(unet.add_time_proj(facts).reshape(1, -1).to(like.dtype))
    return level.repeat(frames, 1)
