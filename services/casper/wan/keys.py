"""Names of Wan's tensors: as its authors and VideoX-Fun publish them, and as diffusers' classes call them.

The published checkpoints carry the first kind of name, the classes that run them the second. Each table is one line per
layer and is read in both directions, so that the two cannot drift apart; a name that no line knows is an error, never
passed through. Must not know: tensors, files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from services.errors import BadOption

Rename = Callable[[str], str]
T = TypeVar("T")

# "#" stands for the block's number. The only norm with weights is original norm3, which diffusers calls norm2.
_TRANSFORMER_LAYERS = (
    ("patch_embedding", "patch_embedding"),
    ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
    ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
    ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
    ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
    ("time_projection.1", "condition_embedder.time_proj"),
    ("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
    ("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
    ("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
    ("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
    ("blocks.#.self_attn.q", "blocks.#.attn1.to_q"),
    ("blocks.#.self_attn.k", "blocks.#.attn1.to_k"),
    ("blocks.#.self_attn.v", "blocks.#.attn1.to_v"),
    ("blocks.#.self_attn.o", "blocks.#.attn1.to_out.0"),
    ("blocks.#.self_attn.norm_q", "blocks.#.attn1.norm_q"),
    ("blocks.#.self_attn.norm_k", "blocks.#.attn1.norm_k"),
    ("blocks.#.cross_attn.q", "blocks.#.attn2.to_q"),
    ("blocks.#.cross_attn.k", "blocks.#.attn2.to_k"),
    ("blocks.#.cross_attn.v", "blocks.#.attn2.to_v"),
    ("blocks.#.cross_attn.o", "blocks.#.attn2.to_out.0"),
    ("blocks.#.cross_attn.norm_q", "blocks.#.attn2.norm_q"),
    ("blocks.#.cross_attn.norm_k", "blocks.#.attn2.norm_k"),
    ("blocks.#.cross_attn.k_img", "blocks.#.attn2.add_k_proj"),
    ("blocks.#.cross_attn.v_img", "blocks.#.attn2.add_v_proj"),
    ("blocks.#.cross_attn.norm_k_img", "blocks.#.attn2.norm_added_k"),
    ("blocks.#.norm3", "blocks.#.norm2"),
    ("blocks.#.ffn.0", "blocks.#.ffn.net.0.proj"),
    ("blocks.#.ffn.2", "blocks.#.ffn.net.2"),
    ("head.head", "proj_out"),
)
# Parameters of a module of their own, without ".weight".
_TRANSFORMER_PARAMETERS = (
    ("blocks.#.modulation", "blocks.#.scale_shift_table"),
    ("head.modulation", "scale_shift_table"),
)

_RESIDUAL = (
    ("residual.0.gamma", "norm1.gamma"),
    ("residual.2", "conv1"),
    ("residual.3.gamma", "norm2.gamma"),
    ("residual.6", "conv2"),
)
_ATTENTION = (("norm.gamma", "norm.gamma"), ("to_qkv", "to_qkv"), ("proj", "proj"))
# A level of the decoder: three residual blocks, then (not at the last) an upsampler. The original counts them through.
_LEVEL = 4


def transformer_to_diffusers(name: str) -> str:
    """The original name of a transformer's tensor in diffusers' terms. Raises BadOption for an unknown one."""
    return _renamed(name, _TRANSFORMER, model="Wan transformer")


def transformer_to_original(name: str) -> str:
    """The inverse of `transformer_to_diffusers`."""
    return _renamed(name, _TRANSFORMER_BACK, model="Wan transformer in diffusers' names")


def vae_to_diffusers(name: str) -> str:
    """The original name of a VAE's tensor in diffusers' terms. Raises BadOption for an unknown one."""
    return _renamed(name, _VAE, model="Wan VAE")


def vae_to_original(name: str) -> str:
    """The inverse of `vae_to_diffusers`."""
    return _renamed(name, _VAE_BACK, model="Wan VAE in diffusers' names")


def is_original(names: Iterable[str]) -> bool:
    """Whether a transformer's or a VAE's tensors carry their original names (any one of them is enough to tell)."""
    telling = ("blocks.0.self_attn.", "head.head.", "encoder.conv1.", "decoder.conv1.")
    return any(name.startswith(telling) for name in names)


def renamed(tensors: Mapping[str, T], rename: Rename) -> dict[str, T]:
    """`tensors` under their new names. Raises BadOption for a name that `rename` does not know, or two that meet."""
    result: dict[str, T] = {}
    for name, tensor in tensors.items():
        new = rename(name)
        if new in result:
            raise BadOption(f"the tensor {name!r} is in the checkpoint twice, under two names; use the published file.")
        result[new] = tensor
    return result


def _with_leaves(layers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Weights and biases of layers; a line that already ends in a parameter stays as it is."""
    lines: list[tuple[str, str]] = []
    for original, ours in layers:
        if original.endswith(".gamma"):
            lines.append((original, ours))
        else:
            lines += [(f"{original}.{leaf}", f"{ours}.{leaf}") for leaf in ("weight", "bias")]
    return lines


def _beneath(original: str, ours: str, layers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"{original}.{a}", f"{ours}.{b}") for a, b in layers]


def _vae_layers() -> list[tuple[str, str]]:
    block = [*_RESIDUAL, ("shortcut", "conv_shortcut")]
    resample = [("resample.1", "resample.1"), ("time_conv", "time_conv")]
    layers = [("conv1", "quant_conv"), ("conv2", "post_quant_conv")]
    for half in ("encoder", "decoder"):
        layers += [
            (f"{half}.conv1", f"{half}.conv_in"),
            (f"{half}.head.0.gamma", f"{half}.norm_out.gamma"),
            (f"{half}.head.2", f"{half}.conv_out"),
            *_beneath(f"{half}.middle.0", f"{half}.mid_block.resnets.0", _RESIDUAL),
            *_beneath(f"{half}.middle.1", f"{half}.mid_block.attentions.0", _ATTENTION),
            *_beneath(f"{half}.middle.2", f"{half}.mid_block.resnets.1", _RESIDUAL),
        ]
    layers += _beneath("encoder.downsamples.#", "encoder.down_blocks.#", [*block, *resample])
    for number in range(4 * _LEVEL - 1):
        level, place = divmod(number, _LEVEL)
        if place == _LEVEL - 1:
            inside, parts = "upsamplers.0", resample
        else:
            inside, parts = f"resnets.{place}", block
        layers += _beneath(f"decoder.upsamples.{number}", f"decoder.up_blocks.{level}.{inside}", parts)
    return layers


def _renamed(name: str, table: Mapping[str, str], *, model: str) -> str:
    number = re.search(r"^(?:blocks|encoder\.downsamples|encoder\.down_blocks)\.(\d+)\.", name)
    if number:
        pattern = name[: number.start(1)] + "#" + name[number.end(1) :]
        if pattern in table:
            return table[pattern].replace("#", number[1], 1)
    elif name in table and "#" not in name:
        return table[name]
    raise BadOption(f"the checkpoint has a tensor {name!r} that no {model} has; use the published file.")


_TRANSFORMER = dict([*_with_leaves(_TRANSFORMER_LAYERS), *_TRANSFORMER_PARAMETERS])
_TRANSFORMER_BACK = {ours: original for original, ours in _TRANSFORMER.items()}
_VAE = dict(_with_leaves(_vae_layers()))
_VAE_BACK = {ours: original for original, ours in _VAE.items()}
