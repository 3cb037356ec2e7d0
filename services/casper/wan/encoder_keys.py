"""Wan's two encoders as their authors publish them (two .pth files), renamed for the classes of transformers.

`models_t5_umt5-xxl-enc-bf16.pth` becomes UMT5EncoderModel; the image half of
`models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth` becomes CLIPVisionModel, its text half is not used. Names that
are neither known nor known to be unused are errors. Must not know: files, models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from services.errors import BadOption

_UMT5_BLOCK = {
    "norm1": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}
_CLIP_BLOCK = {
    "norm1": "layer_norm1",
    "attn.proj": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}
_CLIP_NORMS = {"pre_norm": "pre_layrnorm", "post_norm": "post_layernorm"}
_CLIP_UNUSED = ("textual.", "log_scale", "visual.head")


def umt5(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """UMT5's tensors under the names of UMT5EncoderModel; the table of words has two. Raises BadOption."""
    result = {_umt5_name(name): tensor for name, tensor in tensors.items()}
    if "shared.weight" in result:
        result["encoder.embed_tokens.weight"] = result["shared.weight"]
    return result


def clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The image encoder's tensors under the names of CLIPVisionModel, query, key and value apart.

    Raises BadOption for an unknown name.
    """
    result: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not name.startswith(_CLIP_UNUSED):
            result |= _clip_tensors(name, tensor)
    return result


def _umt5_name(name: str) -> str:
    if name == "token_embedding.weight":
        return "shared.weight"
    if name == "norm.weight":
        return "encoder.final_layer_norm.weight"
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    if found and found[2] in _UMT5_BLOCK:
        return f"encoder.block.{found[1]}.{_UMT5_BLOCK[found[2]]}.weight"
    raise _unknown(name, "UMT5 encoder")


def _clip_tensors(name: str, tensor: Tensor) -> dict[str, Tensor]:
    match name:
        case "visual.cls_embedding":
            return {"embeddings.class_embedding": tensor.flatten()}
        case "visual.pos_embedding":
            return {"embeddings.position_embedding.weight": tensor[0]}
        case "visual.patch_embedding.weight":
            return {"embeddings.patch_embedding.weight": tensor}
    layer, _, leaf = name.removeprefix("visual.").rpartition(".")
    if layer in _CLIP_NORMS:
        return {f"{_CLIP_NORMS[layer]}.{leaf}": tensor}
    found = re.fullmatch(r"transformer\.(\d+)\.(.+)", layer)
    if found and found[2] == "attn.to_qkv":
        parts = zip("qkv", torch.chunk(tensor, 3), strict=True)
        return {f"encoder.layers.{found[1]}.self_attn.{which}_proj.{leaf}": part for which, part in parts}
    if found and found[2] in _CLIP_BLOCK:
        return {f"encoder.layers.{found[1]}.{_CLIP_BLOCK[found[2]]}.{leaf}": tensor}
    raise _unknown(name, "CLIP image encoder")


def _unknown(name: str, model: str) -> BadOption:
    return BadOption(f"the checkpoint has a tensor {name!r} that no {model} has; use the file that Wan 2.1 comes with.")
