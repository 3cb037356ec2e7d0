"""The published Caspers with random weights, at full size on a device or tiny on a CPU: to measure, not to look at.

The one module that knows both families by their networks. Must not know: clips, times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import diffusers
import torch

from services.casper.cogvideox import model as cogvideox
from services.casper.cogvideox import text as cogvideox_text
from services.casper.cogvideox import tiny as cogvideox_tiny
from services.casper.cogvideox.casper import CogVideoXCasper
from services.casper.cogvideox.vae import SCALING
from services.casper.large import kept
from services.casper.large.casper import LargeCasper
from services.casper.large.placement import Placement
from services.casper.large.placing import place_denoiser, place_vae
from services.casper.wan import files as wan_files
from services.casper.wan import network as wan
from services.casper.wan import text as wan_text
from services.casper.wan import tiny as wan_tiny
from services.casper.wan.casper import WanCasper

_WORDS = 3
"""Tokens of the default prompt, about."""

# Its classes are only half typed.
_models: Any = diffusers


def _filled(network: Any, placement: Placement) -> Any:
    """`network`, on the device "meta" so far, with random weights where `placement` computes (or on the CPU)."""
    device = placement.device if placement.offload == "none" else "cpu"
    # The type first: at full size there would be no room for more.
    filled = network.to(placement.dtype).to_empty(device=device)
    for value in filled.parameters():
        # Small, so that nothing overflows over many layers.
        value.data.normal_(0, 0.02)
    return filled


def _cogvideox(folder: Path, placement: Placement, layers: int | None) -> LargeCasper:
    config = cogvideox.PUBLISHED | ({} if layers is None else {"num_layers": layers})
    network = _filled(cogvideox.build(config), placement)
    place_denoiser(network, placement, blocks=network.transformer_blocks)
    with torch.device("meta"):
        vae = _models.AutoencoderKLCogVideoX(scaling_factor=SCALING)
    vae = _filled(vae, placement)
    place_vae(vae, placement)
    words = torch.randn(config["max_text_seq_length"], config["text_embed_dim"])
    kept.write(cogvideox_text.embedding_file(folder, kept.DEFAULT_PROMPT), words, prompt=kept.DEFAULT_PROMPT)
    return CogVideoXCasper(network, vae, cogvideox.make_schedule(), folder=folder, placement=placement)


def _wan(size: wan.Size) -> Callable[[Path, Placement, int | None], LargeCasper]:
    def made(folder: Path, placement: Placement, layers: int | None) -> LargeCasper:
        shape = wan.SHAPES[size] if layers is None else replace(wan.SHAPES[size], num_layers=layers)
        network = wan.build(shape)
        rope = network.rope
        network.rope = None
        network = _filled(network, placement)
        # A table, not weights.
        network.rope = rope.to(placement.device if placement.offload == "none" else "cpu")
        for name, value in network.named_parameters():
            value.data = value.data.to(wan.weight_dtype(network, name, placement.dtype))
        place_denoiser(network, placement, blocks=network.blocks)
        with torch.device("meta"):
            vae = _models.AutoencoderKLWan()
        vae = _filled(vae, placement)
        place_vae(vae, placement)
        prompts = folder / wan_files.PROMPTS
        words = torch.randn(_WORDS, shape.text_dim)
        wan_text.write(prompts / wan_text.file_name(kept.DEFAULT_PROMPT), kept.DEFAULT_PROMPT, words)
        return WanCasper(network, vae, folder=folder, placement=placement)

    return made


MAKERS: Mapping[str, Callable[[Path, Placement, int | None], LargeCasper]] = MappingProxyType(
    {"cogvideox": _cogvideox, "wan-1.3b": _wan("1.3b"), "wan-14b": _wan("14b")}
)
"""Each takes a folder for the embedding of the default prompt, a placement, and a number of layers (None: all)."""


def tiny_casper(family: str, folder: Path, placement: Placement) -> LargeCasper:
    """The tiny network of the family, from `folder`, on the CPU."""
    if family == "cogvideox":
        return CogVideoXCasper.load(cogvideox_tiny.write_tiny(folder), placement)
    return WanCasper.load(wan_tiny.write_tiny(folder), placement)
