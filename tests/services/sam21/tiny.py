"""SAM 2.1 and EdgeTAM with all their parts, small, weights random: 128 pixels square.

Sizes that the original package fixes in its code are left as they are, so that it can hold the same weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    EdgeTamVideoConfig,
    EdgeTamVideoMaskDecoderConfig,
    EdgeTamVideoModel,
    EdgeTamVideoPromptEncoderConfig,
    EdgeTamVisionConfig,
    Sam2HieraDetConfig,
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoModel,
    Sam2VideoPromptEncoderConfig,
    Sam2VisionConfig,
)

from services.catalogue import find
from services.sam21.repvit import edgetam
from services.sam21.segmenter import Segmenter

SIZE = 128
WIDE = 128
_COARSE = SIZE // 16
_LEVELS = [[SIZE // 4] * 2, [SIZE // 8] * 2, [_COARSE] * 2]
_SHARED: dict[str, Any] = {
    "image_size": SIZE,
    "memory_attention_hidden_size": WIDE,
    "memory_attention_rope_feat_sizes": [_COARSE, _COARSE],
    "memory_attention_num_layers": 2,
    "memory_encoder_hidden_size": WIDE,
    "mask_downsampler_embed_dim": WIDE,
    "memory_fuser_embed_dim": WIDE,
    "memory_fuser_intermediate_dim": 4 * WIDE,
}


def sam2_config(**changes: Any) -> Sam2VideoConfig:
    hiera = Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[SIZE, SIZE],
        embed_dim_per_stage=[16, 32, 64, 128],
        blocks_per_stage=[1, 1, 2, 1],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        global_attention_blocks=[3],
        window_size_per_stage=[8, 4, 4, 2],
    )
    return Sam2VideoConfig(
        vision_config=Sam2VisionConfig(
            backbone_config=hiera,
            backbone_channel_list=[128, 64, 32, 16],
            backbone_feature_sizes=_LEVELS,
            fpn_hidden_size=WIDE,
        ),
        prompt_encoder_config=Sam2VideoPromptEncoderConfig(hidden_size=WIDE, image_size=SIZE),
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=WIDE, mlp_dim=2048, num_attention_heads=8, iou_head_hidden_dim=256
        ),
        memory_attention_feed_forward_hidden_size=64,
        **{**_SHARED, **changes},
    )


def edgetam_config(widths: Sequence[int] = (16, 32, 48, 64)) -> EdgeTamVideoConfig:
    return EdgeTamVideoConfig(
        vision_config=EdgeTamVisionConfig(
            backbone_channel_list=list(widths)[::-1], backbone_feature_sizes=_LEVELS, fpn_hidden_size=WIDE
        ),
        prompt_encoder_config=EdgeTamVideoPromptEncoderConfig(hidden_size=WIDE, image_size=SIZE),
        mask_decoder_config=EdgeTamVideoMaskDecoderConfig(
            hidden_size=WIDE, mlp_dim=2048, num_attention_heads=8, iou_head_hidden_dim=256
        ),
        memory_attention_mlp_hidden_size=64,
        memory_attention_rope_k_sizes=[4, 4],
        perceiver_resampler_num_latents=16,
        perceiver_resampler_num_latents_2d=16,
        enable_temporal_pos_encoding_for_object_pointers=False,
        enable_occlusion_spatial_embedding=False,
        **_SHARED,
    )


def sam2_model(seed: int = 0, **changes: Any) -> Sam2VideoModel:
    torch.manual_seed(seed)
    model = Sam2VideoModel(sam2_config(**changes))
    return lively(model, model.mask_decoder.pred_obj_score_head.proj_out)


def edgetam_model(seed: int = 0, **changes: Any) -> EdgeTamVideoModel:
    torch.manual_seed(seed)
    model = edgetam(edgetam_config(**changes))
    return lively(model, model.mask_decoder.pred_obj_score_head.proj_out)


def lively(model: Any, score: Any) -> Any:
    """Weights large enough that prompts, pixels and memories all show in the output; `score` says: it exists."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() > 1:
                value.normal_(0, 0.6 / max(1, value[0].numel()) ** 0.5, generator=generator)
            elif "norm" not in name and ".bn." not in name:
                value.normal_(0, 0.1, generator=generator)
        score.bias.fill_(5)
    return model


def segmenter(model: Any, precision: torch.dtype = torch.float32) -> Segmenter:
    return Segmenter(model, device=torch.device("cpu"), precision=precision)


def saved(model: Any, folder: Path) -> Path:
    """`folder` with the model's weights and configuration."""
    model.save_pretrained(folder)
    return folder


def published(home: Path, name: str = "sam2.1-tiny", model: Any = None) -> Path:
    """The folder of a tiny model in the place of the published `name` in the weights folder `home`."""
    folder = home / name
    (model or sam2_model()).save_pretrained(folder)
    torch.save(load_file(folder / "model.safetensors"), folder / find(name).files[0].path)
    (folder / "model.safetensors").unlink()
    return folder
