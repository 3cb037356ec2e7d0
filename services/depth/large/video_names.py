"""Names of Video-Depth-Anything's tensors: those of the published checkpoint and those of `video_network.py`.

Pure; checked in both directions against the network. Attention's query, key and value of the backbone are one tensor
in the checkpoint and three in the network.
Must not know: tensors' values beyond cutting that one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

_BACKBONE = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^mask_token$", "embeddings.mask_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.(\d+)\.attn\.proj\.", r"encoder.layer.\1.attention.o_proj."),
    (r"^blocks\.(\d+)\.ls(\d)\.gamma$", r"encoder.layer.\1.layer_scale\2.lambda1"),
    (r"^blocks\.(\d+)\.", r"encoder.layer.\1."),
)
_TEMPORAL = (
    (r"^temporal_transformer\.", ""),
    (r"^proj_in\.", "inward."),
    (r"^proj_out\.", "outward."),
    (r"^transformer_blocks\.0\.attention_blocks\.(\d)\.to_q\.", r"attention.\1.query."),
    (r"^transformer_blocks\.0\.attention_blocks\.(\d)\.to_k\.", r"attention.\1.key."),
    (r"^transformer_blocks\.0\.attention_blocks\.(\d)\.to_v\.", r"attention.\1.value."),
    (r"^transformer_blocks\.0\.attention_blocks\.(\d)\.to_out\.0\.", r"attention.\1.out."),
    (r"^transformer_blocks\.0\.attention_blocks\.(\d)\.pos_encoder\.pe$", r"attention.\1.positions"),
    (r"^transformer_blocks\.0\.norms\.(\d)\.", r"attention_norm.\1."),
    (r"^transformer_blocks\.0\.ff\.net\.0\.proj\.", "feed_forward.widen."),
    (r"^transformer_blocks\.0\.ff\.net\.2\.", "feed_forward.narrow."),
    (r"^transformer_blocks\.0\.ff_norm\.", "feed_forward_norm."),
)
_FUSED = re.compile(r"^scratch\.refinenet(\d)\.(.*)$")
_RESIDUAL = re.compile(r"^resConfUnit(\d)\.conv(\d)\.")
_HEAD = (
    (r"^projects\.(\d)\.", r"neck.reassemble_stage.layers.\1.projection."),
    (r"^resize_layers\.(\d)\.", r"neck.reassemble_stage.layers.\1.resize."),
    (r"^scratch\.output_conv1\.", "head.conv1."),
    (r"^scratch\.output_conv2\.0\.", "head.conv2."),
    (r"^scratch\.output_conv2\.2\.", "head.conv3."),
)
_QKV = re.compile(r"^pretrained\.blocks\.(\d+)\.attn\.qkv\.(weight|bias)$")


def converted(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The checkpoint's tensors under the network's names. What has no rule keeps its name, so that it is complained of.

    Raises nothing: completeness and shapes are the loader's business.
    """
    result: dict[str, Tensor] = {}
    for name, value in published.items():
        fused = _QKV.match(name)
        if fused and value.shape[0] % 3 == 0:
            for part, piece in zip("qkv", value.chunk(3), strict=True):
                result[f"backbone.encoder.layer.{fused[1]}.attention.{part}_proj.{fused[2]}"] = piece.clone()
        else:
            result[network_name(name)] = value
    return result


def network_name(name: str) -> str:
    """The network's name for a published one; the same name where there is no rule."""
    part, _, rest = name.partition(".")
    if part == "pretrained":
        return "backbone." + _replaced(rest, _BACKBONE)
    if part != "head":
        return name
    if rest.startswith("motion_modules."):
        _, number, inner = rest.split(".", 2)
        return f"temporal.{number}." + _replaced(_replaced(inner, _TEMPORAL[:1]), _TEMPORAL[1:])
    return _head_name(rest) or name


def _head_name(rest: str) -> str:
    reduced = re.match(r"^scratch\.layer(\d)_rn\.(.*)$", rest)
    if reduced:
        return f"neck.convs.{int(reduced[1]) - 1}.{reduced[2]}"
    fused = _FUSED.match(rest)
    if fused:
        # The checkpoint counts from the finest, transformers from the coarsest.
        inner = re.sub(r"^out_conv\.", "projection.", fused[2])
        inner = _RESIDUAL.sub(r"residual_layer\1.convolution\2.", inner)
        return f"neck.fusion_stage.layers.{4 - int(fused[1])}.{inner}"
    renamed = _replaced(rest, _HEAD)
    return renamed if renamed != rest else ""


def _replaced(name: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rules:
        changed, count = re.subn(pattern, new, name)
        if count:
            return changed
    return name
