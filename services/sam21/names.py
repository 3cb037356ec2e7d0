"""Names of the original checkpoints' tensors (SAM 2.1, EdgeTAM) -> those of `transformers`' models.

The values stay as they are, but for three: the four point embeddings become one table, the random matrix of positions
stands under two names, and EdgeTAM's joint key-value projections are taken apart. Must not know: files, models.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

# Tried in order, each on what the ones before have made; all of one prefix first, then what several parts share.
_RULES: tuple[tuple[str, str], ...] = (
    (r"^image_encoder\.trunk\.body\.", "vision_encoder.backbone.timm_model."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"^(vision_encoder\.backbone\.patch_embed)\.proj\.", r"\1.projection."),
    (r"^(vision_encoder\.backbone\.blocks\.\d+)\.norm", r"\1.layer_norm"),
    (r"^(vision_encoder\.backbone\.blocks\.\d+\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"^(vision_encoder\.backbone\.blocks\.\d+\.mlp)\.layers\.1\.", r"\1.proj_out."),
    (r"^(memory_attention.*)\.out_proj\.", r"\1.o_proj."),
    (r"^(memory_attention.*)\.norm(\d?)\.", r"\1.layer_norm\2."),
    (r"^(memory_attention)\.norm\.", r"\1.layer_norm."),
    (r"^memory_encoder\.mask_downsampler\.encoder\.12\.", "memory_encoder.mask_downsampler.final_conv."),
    (r"^memory_encoder\.pix_feat_proj\.", "memory_encoder.feature_projection."),
    (r"^memory_encoder\.out_proj\.", "memory_encoder.projection."),
    (r"^memory_encoder\.fuser\.", "memory_encoder.memory_fuser."),
    (r"^(memory_encoder\.memory_fuser\.layers\.\d+)\.dwconv\.", r"\1.depthwise_conv."),
    (r"^(memory_encoder\.memory_fuser\.layers\.\d+)\.pwconv", r"\1.pointwise_conv"),
    (r"^(memory_encoder\.memory_fuser\.layers\.\d+)\.norm\.", r"\1.layer_norm."),
    (r"^(memory_encoder\.memory_fuser\.layers\.\d+)\.gamma$", r"\1.scale"),
    (r"^sam_prompt_encoder\.", "prompt_encoder."),
    (
        r"^prompt_encoder\.pe_layer\.positional_encoding_gaussian_matrix$",
        "prompt_encoder.shared_embedding.positional_embedding",
    ),
    (r"^prompt_encoder\.mask_downscaling\.0\.", "prompt_encoder.mask_embed.conv1."),
    (r"^prompt_encoder\.mask_downscaling\.1\.", "prompt_encoder.mask_embed.layer_norm1."),
    (r"^prompt_encoder\.mask_downscaling\.3\.", "prompt_encoder.mask_embed.conv2."),
    (r"^prompt_encoder\.mask_downscaling\.4\.", "prompt_encoder.mask_embed.layer_norm2."),
    (r"^prompt_encoder\.mask_downscaling\.6\.", "prompt_encoder.mask_embed.conv3."),
    (r"^sam_mask_decoder\.", "mask_decoder."),
    (r"^(mask_decoder\.transformer.*)\.out_proj\.", r"\1.o_proj."),
    (r"^(mask_decoder\.transformer.*)\.norm(\w+)\.", r"\1.layer_norm\2."),
    (r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.0\.", r"\1.proj_in."),
    (r"^(mask_decoder\.transformer\.layers\.\d+\.mlp)\.layers\.1\.", r"\1.proj_out."),
    (r"^mask_decoder\.output_upscaling\.0\.", "mask_decoder.upscale_conv1."),
    (r"^mask_decoder\.output_upscaling\.1\.", "mask_decoder.upscale_layer_norm."),
    (r"^mask_decoder\.output_upscaling\.3\.", "mask_decoder.upscale_conv2."),
    (r"^obj_ptr_tpos_proj\.", "temporal_positional_encoding_projection_layer."),
    (r"^obj_ptr_proj\.", "object_pointer_proj."),
    (r"^maskmem_tpos_enc$", "memory_temporal_positional_encoding"),
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^no_mem_pos_enc$", "no_memory_positional_encoding"),
    (r"^no_obj_ptr$", "no_object_pointer"),
    (r"^no_obj_embed_spatial$", "occlusion_spatial_embedding_parameter"),
)
# The perceiver, and memory attention's other spelling, are EdgeTAM's own.
_EDGETAM: tuple[tuple[str, str], ...] = (
    (r"^(memory_attention\.layers\.\d+)\.linear1\.", r"\1.mlp.up_proj."),
    (r"^(memory_attention\.layers\.\d+)\.linear2\.", r"\1.mlp.down_proj."),
    (r"^spatial_perceiver\.latents$", "spatial_perceiver.latents_1d"),
    (r"^spatial_perceiver\.norm\.", "spatial_perceiver.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.norm_x\.", r"\1.layer_norm_input."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.norm_latents\.", r"\1.layer_norm_latents."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.norm\.", r"\1.layer_norm_self."),
    (r"^(spatial_perceiver\.layers\.\d+)\.attn\.", r"\1.cross_attention."),
    (r"^(spatial_perceiver\.layers\.\d+)\.self_attn\.", r"\1.self_attention."),
    (r"^(spatial_perceiver\.layers\.\d+\.\w+_attention)\.to_q\.", r"\1.q_proj."),
    (r"^(spatial_perceiver\.layers\.\d+\.\w+_attention)\.to_out\.", r"\1.o_proj."),
    (r"^(spatial_perceiver\.layers\.\d+\.(?:self_)?)ff\.0\.", r"\1mlp.layer_norm."),
    (r"^(spatial_perceiver\.layers\.\d+\.(?:self_)?)ff\.1\.", r"\1mlp.up_proj."),
    (r"^(spatial_perceiver\.layers\.\d+\.(?:self_)?)ff\.3\.", r"\1mlp.down_proj."),
)
# Heads of three layers: the first and the last have names of their own.
_HEAD = re.compile(
    r"^(object_pointer_proj|mask_decoder\.(?:iou_prediction_head|pred_obj_score_head|output_hypernetworks_mlps\.\d+))"
    r"\.layers\.(\d)\."
)
_HEAD_LAYERS = {"0": "proj_in", "1": "layers.0", "2": "proj_out"}
_MASK_LAYER = re.compile(r"^memory_encoder\.mask_downsampler\.encoder\.(\d+)\.")
_POINT = re.compile(r"^prompt_encoder\.point_embeddings\.(\d)\.weight$")
_POSITIONS = "prompt_encoder.shared_embedding.positional_embedding"


def is_original(names: object) -> bool:
    """Whether a checkpoint with these tensor names is an original one."""
    return isinstance(names, Mapping | set | frozenset) and any(str(n).startswith("sam_mask_decoder.") for n in names)


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an original checkpoint under `transformers`' names."""
    edge = any(name.startswith("spatial_perceiver.") for name in state)
    made: dict[str, Tensor] = {}
    points: dict[str, Tensor] = {}
    for original, value in state.items():
        name = _name(original, edge=edge)
        point = _POINT.match(name)
        if point:
            points[point.group(1)] = value
        elif ".to_kv." in name:
            made[name.replace("to_kv", "k_proj")], made[name.replace("to_kv", "v_proj")] = value.chunk(2)
        else:
            made[name] = value
    if points:
        made["prompt_encoder.point_embed.weight"] = torch.cat([points[k] for k in sorted(points)])
    if _POSITIONS in made:
        made["shared_image_embedding.positional_embedding"] = made[_POSITIONS]
    return made


def _name(name: str, *, edge: bool) -> str:
    for pattern, new in (*_RULES, *(_EDGETAM if edge else ())):
        name = re.sub(pattern, new, name)
    name = _HEAD.sub(lambda m: f"{m.group(1)}.{_HEAD_LAYERS[m.group(2)]}.", name)
    return _MASK_LAYER.sub(_mask_layer, name)


def _mask_layer(found: re.Match[str]) -> str:
    # Convolution, norm and activation take turns.
    layer, part = divmod(int(found.group(1)), 3)
    return f"memory_encoder.mask_downsampler.layers.{layer}.{'conv' if part == 0 else 'layer_norm'}."
