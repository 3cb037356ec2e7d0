"""CogVideoX's networks from a folder: denoiser, VAE, noise schedule; and what they need of a device.

The folder has the layout of CogVideoX-Fun-V1.5-5b-InP (`vae/`, `transformer/config.json`, `scheduler/`), with Casper's
single file `casper.safetensors` beside it. That holds the whole denoiser, so the base's own weights are not needed. A
configuration that is missing is the released one. Must not know: clips, masks.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from services.casper.cogvideox.vae import SCALING
from services.casper.large.placement import Need, Placement
from services.casper.large.placing import place_denoiser, place_vae
from services.checkpoint.config import read_json
from services.checkpoint.files import open_checkpoint
from services.checkpoint.loading import load_into
from services.errors import BadOption

CASPER_FILE = "casper.safetensors"

# Its classes are only half typed.
_models: Any = diffusers

# Config of CogVideoX-Fun-V1.5-5b-InP.
PUBLISHED: dict[str, Any] = {
    "num_attention_heads": 48,
    "attention_head_dim": 64,
    "num_layers": 42,
    "patch_size": 2,
    "patch_size_t": 2,
    "time_embed_dim": 512,
    "text_embed_dim": 4096,
    "max_text_seq_length": 226,
    "use_rotary_positional_embeddings": True,
    "use_learned_positional_embeddings": False,
    "sample_frames": 85,
    "sample_height": 384,
    "sample_width": 680,
    "patch_bias": False,
}
# Casper's, whatever a configuration says: official CogVideoX 1.5 has an `ofs` embedding, this family has none.
_ALWAYS: dict[str, Any] = {"in_channels": 33, "out_channels": 16, "ofs_embed_dim": None}
_VAE: dict[str, Any] = {"scaling_factor": SCALING}
_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "clip_sample": False,
}


def read_denoiser(folder: Path, placement: Placement, *, casper: Path | None = None) -> Any:
    """The denoiser, ready on its device. casper: its file or folder of shards, if not `folder`/casper.safetensors.

    Raises BadOption for a checkpoint of another network (the first wrong tensor is named), NotFound if there is none.
    """
    config = _known(_models.CogVideoXTransformer3DModel, _json(folder / "transformer", PUBLISHED))
    if config.get("patch_size_t") != 2 or not config.get("use_rotary_positional_embeddings"):
        raise BadOption(f"{folder / 'transformer'} is no CogVideoX 1.5; use CogVideoX-Fun-V1.5-5b-InP as the base.")
    network = build(config)
    load_into(network, open_checkpoint(casper or folder / CASPER_FILE), dtype=placement.dtype)
    place_denoiser(network, placement, blocks=network.transformer_blocks)
    return network


def build(config: Mapping[str, Any]) -> Any:
    """A denoiser whose weights are still to come (on the device "meta")."""
    with torch.device("meta"):
        return _models.CogVideoXTransformer3DModel(**{**config, **_ALWAYS})


def read_vae(folder: Path, placement: Placement) -> Any:
    """The VAE, on its device unless models take turns there. Raises like `read_denoiser`."""
    with torch.device("meta"):
        vae = _models.AutoencoderKLCogVideoX(**_known(_models.AutoencoderKLCogVideoX, _json(folder / "vae", _VAE)))
    load_into(vae, open_checkpoint(folder / "vae"), dtype=placement.dtype)
    place_vae(vae, placement)
    return vae


def make_schedule(folder: Path | None = None) -> Any:
    """Plain DDIM (a `DDIMScheduler`): v-prediction, zero terminal SNR, trailing steps; `snr_shift_scale` is ignored.

    It keeps no state between steps but their number, so windows may share it.
    """
    config = _SCHEDULE if folder is None else _SCHEDULE | _json(folder / "scheduler", {}, "scheduler_config.json")
    return _models.DDIMScheduler(**_known(_models.DDIMScheduler, config))


def need_at(height: int, width: int) -> Need:
    """What the released model needs at a size: parameters counted, working memory estimated on the safe side."""
    tokens = 226 + (height // 16) * (width // 16) * 11
    return Need(
        name="CogVideoX Casper",
        parameters=5_570_000_000,
        block=132_200_000,
        rest=30_000_000,
        # The modulation of every norm, and the embeddings.
        whole=810_000_000,
        # About 24 copies of the hidden state at a block's peak, 2 bytes each.
        working=tokens * 3072 * 2 * 24,
        # 8 decoded frames in 256 channels, about seven at once, and the convolutions' caches.
        vae=450_000_000 + height * width * 31_000,
    )


def _json(folder: Path, otherwise: Mapping[str, Any], name: str = "config.json") -> dict[str, Any]:
    file = folder / name
    return read_json(file) if file.is_file() else dict(otherwise)


def _known(cls: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Without what this class does not take: private keys, and VideoX-Fun's own."""
    taken = inspect.signature(cls.__init__).parameters
    return {name: value for name, value in config.items() if name in taken}
