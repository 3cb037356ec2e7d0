"""DepthCrafter's files: its own U-Net, and the autoencoder and picture encoder of Stable Video Diffusion (img2vid-xt).

    <folder>/unet/config.json, diffusion_pytorch_model.safetensors
    <folder>/vae/config.json, diffusion_pytorch_model[.fp16].safetensors
    <folder>/image_encoder/config.json, model[.fp16].safetensors

Must not know: how depth is sampled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.initialization import no_init_weights

from services.depth.large.checkpoint import fill, read_config
from services.depth.large.crafter import DEFAULT, DepthCrafter, Networks, Sampling
from services.depth.large.device import best_place
from services.depth.large.models import tensors_of

_DIFFUSERS, _TRANSFORMERS = "diffusion_pytorch_model", "model"


def load(folder: Path, sampling: Sampling = DEFAULT) -> DepthCrafter:
    """The model from its folder.

    Raises BadOption for a checkpoint that is not this model's, naming the tensor.
    """
    place = best_place(torch.float16)
    # On the "meta" device a network costs neither memory nor random numbers until its tensors come.
    with torch.device("meta"):
        unet = _untyped(UNetSpatioTemporalConditionModel).from_config(read_config(folder / "unet" / "config.json"))
        vae = _untyped(AutoencoderKLTemporalDecoder).from_config(read_config(folder / "vae" / "config.json"))
    # Not this one: its positions are counted when it is made, not stored.
    with no_init_weights():
        clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**read_config(folder / "image_encoder" / "config.json")))
    fill(unet, tensors_of(folder / "unet", _DIFFUSERS), dtype=place.dtype)
    fill(vae, tensors_of(folder / "vae", _DIFFUSERS), dtype=place.dtype)
    fill(clip, tensors_of(folder / "image_encoder", _TRANSFORMERS), rename=_needed, dtype=place.dtype)
    return DepthCrafter(Networks(unet, vae, clip), place, sampling)


def _untyped(cls: Any) -> Any:
    """diffusers' classes come without types."""
    return cls


def _needed(name: str) -> str | None:
    """Older files store the positions' numbers too."""
    return None if name.endswith(".position_ids") else name
