"""A weights folder with the layout and the shapes of the released model, but few random weights: for tests, and for
trying an installation without 20 GB of downloads. Its pictures mean nothing.

    python -m services.casper.cogvideox.tiny FOLDER
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file

from services.casper.cogvideox.model import CASPER_FILE
from services.casper.cogvideox.text import embedding_file
from services.casper.cogvideox.vae import SCALING
from services.casper.large.kept import DEFAULT_PROMPT

TOKENS, CHANNELS = 8, 16

# Its classes are only half typed.
_models: Any = diffusers


def tiny_network() -> Any:
    """The same shape of network with random weights, small enough for a test."""
    return _models.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=33,
        out_channels=16,
        num_layers=3,
        time_embed_dim=32,
        text_embed_dim=CHANNELS,
        max_text_seq_length=TOKENS,
        patch_size=2,
        patch_size_t=2,
        sample_frames=5,
        sample_height=64,
        sample_width=64,
        use_rotary_positional_embeddings=True,
    )


def tiny_vae() -> Any:
    return _models.AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2, scaling_factor=SCALING
    )


def write_tiny(folder: Path, *, seed: int = 0) -> Path:
    """Write a tiny model to `folder` (made if needed), the same one for the same seed; returns the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, vae, text = tiny_network(), tiny_vae(), torch.randn(TOKENS, CHANNELS)
    (folder / "transformer").mkdir(parents=True, exist_ok=True)
    (folder / "text").mkdir(exist_ok=True)
    # As the base has it: with the mark of VideoX-Fun that diffusers does not know.
    config = dict(network.config) | {"add_noise_in_inpaint_model": True}
    (folder / "transformer" / "config.json").write_text(json.dumps(config))
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / CASPER_FILE)
    vae.save_pretrained(folder / "vae")
    save_file({"embedding": text}, embedding_file(folder, DEFAULT_PROMPT))
    return folder


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a tiny random model in the layout of CogVideoX Casper.")
    parser.add_argument("folder", type=Path)
    print(write_tiny(parser.parse_args(arguments).folder))


if __name__ == "__main__":
    main()
