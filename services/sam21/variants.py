"""The published sizes of SAM 2.1 and EdgeTAM as configurations: what a checkpoint without one needs.

Must not know: files. Sizes: SAM 2's own configuration files (sam2.1_hiera_{t,s,b+,l}.yaml).
"""

from __future__ import annotations

from typing import Any

from transformers import EdgeTamVideoConfig, EdgeTamVisionConfig, Sam2HieraDetConfig, Sam2VideoConfig, Sam2VisionConfig

from services.errors import BadOption

_HIERA: dict[str, dict[str, Any]] = {
    "sam2.1-tiny": {"hidden_size": 96, "blocks_per_stage": [1, 2, 7, 2], "global_attention_blocks": [5, 7, 9]},
    "sam2.1-small": {"hidden_size": 96, "blocks_per_stage": [1, 2, 11, 2], "global_attention_blocks": [7, 10, 13]},
    "sam2.1-base-plus": {
        "hidden_size": 112,
        "blocks_per_stage": [2, 3, 16, 3],
        "global_attention_blocks": [12, 16, 20],
        "window_positional_embedding_background_size": [14, 14],
    },
    "sam2.1-large": {
        "hidden_size": 144,
        "blocks_per_stage": [2, 6, 36, 4],
        "global_attention_blocks": [23, 33, 43],
        "window_positional_embedding_background_size": [7, 7],
        "window_size_per_stage": [8, 4, 16, 8],
    },
}
EDGETAM = "edgetam"
VARIANTS = (*_HIERA, EDGETAM)


def config(variant: str) -> Sam2VideoConfig | EdgeTamVideoConfig:
    """The configuration of one of VARIANTS. Raises BadOption for another name."""
    if variant == EDGETAM:
        return EdgeTamVideoConfig(
            vision_config=EdgeTamVisionConfig(),
            enable_temporal_pos_encoding_for_object_pointers=False,
            enable_occlusion_spatial_embedding=False,
        )
    if variant not in _HIERA:
        raise BadOption(f"there is no segmenter {variant!r}; the segmenters are {', '.join(VARIANTS)}.")
    hiera = dict(_HIERA[variant])
    widths = [hiera["hidden_size"] * 2**stage for stage in range(4)]
    # Tiny and small begin with one attention head, the larger two with two; each stage doubles them.
    heads = 1 if hiera["hidden_size"] == 96 else 2
    hiera |= {
        "embed_dim_per_stage": widths,
        "num_attention_heads": heads,
        "num_attention_heads_per_stage": [heads * 2**stage for stage in range(4)],
    }
    vision = Sam2VisionConfig(backbone_config=Sam2HieraDetConfig(**hiera), backbone_channel_list=widths[::-1])
    return Sam2VideoConfig(vision_config=vision)
