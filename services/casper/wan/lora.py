"""Merging a low-rank adapter into Wan's weights: W += strength x (alpha / rank) x up @ down, for every linear layer.

The adapter's file names a layer by its path in the original model, dots turned to underscores, behind "lora_unet__":
`lora_unet__blocks_0_self_attn_q.lora_down.weight`, `.lora_up.weight` and `.alpha`. Underscores cannot be turned back
into dots, so the layers' own names are flattened and looked up. Must not know: files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from services.casper.wan.keys import transformer_to_original
from services.errors import BadOption

PREFIX = "lora_unet__"
_PARTS = ("lora_down.weight", "lora_up.weight", "alpha")


@dataclass(frozen=True)
class Update:
    """One layer's update: down [rank, in], up [out, rank]; alpha None stands for the rank."""

    layer: str
    down: Tensor
    up: Tensor
    alpha: float | None

    def delta(self, strength: float) -> Tensor:
        """What is added to the weight: [out, in], float32."""
        rank = self.down.shape[0]
        scale = 1.0 if self.alpha is None else self.alpha / rank
        return strength * scale * (self.up.float() @ self.down.float())


def updates(tensors: Mapping[str, Tensor]) -> tuple[Update, ...]:
    """The updates in an adapter's file. Raises BadOption, naming the tensor, for what is not part of one."""
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.partition(".")
        if not layer.startswith(PREFIX) or part not in _PARTS:
            raise BadOption(f"the adapter has a tensor {name!r} that is no part of a Wan LoRA; use the published file.")
        layers.setdefault(layer, {})[part] = tensor
    return tuple(_update(layer, parts) for layer, parts in layers.items())


def merge(network: nn.Module, tensors: Mapping[str, Tensor], *, strength: float = 1.0) -> int:
    """Add an adapter to the weights of `network` (WanTransformer3DModel) in place; returns how many layers changed.

    The sum is taken in float32 and stored in the weight's own type. Raises BadOption, naming the tensor, if the adapter
    has a layer that the network lacks, or one of another size; then nothing was changed.
    """
    layers = layer_names(network)
    found = updates(tensors)
    for update in found:
        _check(update, layers)
    with torch.no_grad():
        for update in found:
            weight = layers[update.layer].weight
            weight.copy_((weight.float() + update.delta(strength).to(weight.device)).to(weight.dtype))
    return len(found)


def layer_names(network: nn.Module) -> dict[str, nn.Linear]:
    """Every linear layer of WanTransformer3DModel under the name that an adapter's file gives it."""
    return {
        PREFIX + transformer_to_original(f"{name}.weight").removesuffix(".weight").replace(".", "_"): part
        for name, part in network.named_modules()
        if isinstance(part, nn.Linear)
    }


def _update(layer: str, parts: Mapping[str, Tensor]) -> Update:
    for part in _PARTS[:2]:
        if part not in parts:
            raise BadOption(f"the adapter lacks the tensor '{layer}.{part}'; the file is not whole, get it again.")
    alpha = parts.get("alpha")
    return Update(layer, parts["lora_down.weight"], parts["lora_up.weight"], None if alpha is None else alpha.item())


def _check(update: Update, layers: Mapping[str, nn.Linear]) -> None:
    if update.layer not in layers:
        raise BadOption(
            f"the adapter changes a layer {update.layer!r} that this Wan does not have; "
            "use the base model that it was trained on."
        )
    wanted = tuple(layers[update.layer].weight.shape)
    given = (update.up.shape[0], update.down.shape[1])
    if wanted != given or update.up.shape[1] != update.down.shape[0]:
        raise BadOption(
            f"the adapter's layer {update.layer!r} is {given[0]}x{given[1]} and the network's is "
            f"{wanted[0]}x{wanted[1]}; use the base model that it was trained on."
        )
