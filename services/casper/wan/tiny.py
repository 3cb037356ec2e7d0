"""A weights folder with the layout and the shapes of the published Wan Casper, but few random weights: for tests, and
for trying an installation without 30 GB of downloads. Its pictures mean nothing.

    python -m services.casper.wan.tiny FOLDER [--adapter]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from services.casper.large.kept import DEFAULT_PROMPT
from services.casper.wan import files, keys, lora, network, text
from services.casper.wan.network import Shape

SHAPE = Shape(
    num_attention_heads=2,
    num_layers=3,
    ffn_dim=32,
    attention_head_dim=12,
    text_dim=16,
    freq_dim=16,
    image_dim=20,
    rope_max_seq_len=64,
)
VAE = {"base_dim": 4, "dim_mult": [1, 1, 1, 1]}
RANK, ALPHA = 4, 2.0

# Its classes are only half typed.
_models: Any = diffusers


def tiny_network(seed: int = 0) -> Any:
    """The same kind of network with random weights, small enough for a test."""
    built = network.build(SHAPE)
    generator = torch.Generator().manual_seed(seed)
    state = {name: _random(name, weight, generator) for name, weight in built.named_parameters()}
    built.load_state_dict(state, assign=True)
    return built.requires_grad_(False)


def tiny_vae(seed: int = 0) -> Any:
    vae = _models.AutoencoderKLWan(**VAE).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in vae.named_parameters():
        weight.data = _random(name, weight, generator)
    return vae


def tiny_adapter(denoiser: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    """An adapter for every linear layer of `denoiser`, as the published one is laid out."""
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, layer in lora.layer_names(denoiser).items():
        tensors[f"{name}.lora_down.weight"] = torch.randn(RANK, layer.in_features, generator=generator) / 8
        tensors[f"{name}.lora_up.weight"] = torch.randn(layer.out_features, RANK, generator=generator) / 8
        tensors[f"{name}.alpha"] = torch.tensor(ALPHA)
    return tensors


def write_tiny(folder: Path, *, seed: int = 0, adapter: bool = False) -> Path:
    """Write a tiny model to `folder` (made if needed), the same one for the same seed; returns the folder.

    adapter: as the 14B is published, a base model and an adapter; else as the 1.3B is, one whole denoiser. Denoiser and
    VAE have their original names; the VAE is a .pth file.
    """
    for part in ("transformer", "vae", files.PROMPTS):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "transformer" / "config.json").write_text(json.dumps(asdict(SHAPE)))
    (folder / "vae" / "config.json").write_text(json.dumps(VAE))
    denoiser = tiny_network(seed)
    whole = keys.renamed(denoiser.state_dict(), keys.transformer_to_original)
    if adapter:
        save_file(whole, folder / files.DENOISER[0])
        save_file(tiny_adapter(denoiser, seed + 1), folder / files.CASPER)
    else:
        save_file(whole, folder / files.CASPER)
    torch.save(keys.renamed(tiny_vae(seed).state_dict(), keys.vae_to_original), folder / files.VAE[0])
    words = torch.randn(3, SHAPE.text_dim, generator=torch.Generator().manual_seed(seed))
    text.write(folder / files.PROMPTS / text.file_name(DEFAULT_PROMPT), DEFAULT_PROMPT, words)
    _write_image_encoder(folder / files.CLIP[1], seed)
    return folder


def _write_image_encoder(folder: Path, seed: int) -> None:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = CLIPVisionModel(
            CLIPVisionConfig(
                hidden_size=SHAPE.image_dim,
                intermediate_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=224,
                patch_size=14,
                hidden_act="gelu",
            )
        )
    model.save_pretrained(folder)


def _random(name: str, weight: Tensor, generator: torch.Generator) -> Tensor:
    """Random weights of a size that keeps the signal's; norms and biases too, so that none is without effect."""
    noise = torch.randn(weight.shape, generator=generator)
    if weight.ndim < 2 or name.endswith("gamma"):
        return noise * 0.1 + (0 if name.endswith("bias") else 1)
    return noise / weight[0].numel() ** 0.5


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Write a tiny random model in the layout of Wan Casper.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--adapter", action="store_true", help="as the 14B is published: a base model and an adapter")
    given = parser.parse_args(arguments)
    print(write_tiny(given.folder, adapter=given.adapter))


if __name__ == "__main__":
    main()
