"""Carrying out a placement: networks onto the device, offloading, fp8 weights, attention, compilation.

Must not know: how the placement was chosen, or which family the networks are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from services.casper.large.placement import Placement

_ATTENTION = {
    "cudnn": [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "flash": [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
    "efficient": [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH],
}


def place_denoiser(network: Any, placement: Placement, *, blocks: nn.ModuleList) -> None:
    """Ready a loaded denoiser (a diffusers model, on the CPU) for `placement`; `blocks` are its transformer blocks."""
    network.eval().requires_grad_(False)
    if placement.fp8:
        network.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=placement.dtype)
    if placement.offload == "group":
        network.enable_group_offload(
            onload_device=torch.device(placement.device),
            offload_device=torch.device("cpu"),
            offload_type="block_level",
            num_blocks_per_group=1,
            use_stream=placement.device != "cpu",
        )
    elif placement.offload == "none":
        network.to(placement.device)
    if placement.compiled:
        for block in blocks:
            # The function, not the module: hooks of a cache stay outside of the graph. Blocks share their graphs. The
            # first shape gets one of its own, later ones (short last windows, more runs) share one for any length.
            block.forward = torch.compile(block.forward)


def place_vae(vae: Any, placement: Placement) -> None:
    """The same for a VAE: it stays on the device unless models take turns there."""
    vae.eval().requires_grad_(False)
    if placement.offload == "none":
        vae.to(placement.device)


@contextmanager
def on_device(module: Any, placement: Placement) -> Iterator[None]:
    """While inside, `module` is where `placement` computes: the turns of offload modes.

    Modules whose blocks travel on their own ("group") are left to their hooks: use this for the VAE then.
    """
    if placement.offload == "none":
        yield
        return
    module.to(placement.device)
    try:
        yield
    finally:
        module.to("cpu")


def denoising(network: Any, placement: Placement) -> Any:
    """Context in which the denoiser is called: its turn on the device."""
    return nullcontext() if placement.offload == "group" else on_device(network, placement)


def attention(placement: Placement) -> Any:
    """Context that chooses the implementation of attention; the next best one where a shape is not supported."""
    order = _ATTENTION.get(placement.attention)
    return nullcontext() if order is None else sdpa_kernel(order, set_priority=True)
