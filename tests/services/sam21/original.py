"""The original `sam2` package's predictor with the sizes of `tiny.sam2_config`, where that package is installed."""

from __future__ import annotations

from typing import Any

from tests.services.sam21.tiny import SIZE, WIDE


def predictor() -> Any:
    """A SAM2VideoPredictor, weights random, with the options of the SAM 2.1 configuration files and of its builder."""
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam.transformer import RoPEAttention
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    coarse = [SIZE // 16] * 2

    def attention(**more: Any) -> Any:
        return RoPEAttention(
            rope_theta=10000.0, feat_sizes=coarse, embedding_dim=WIDE, num_heads=1, downsample_rate=1, dropout=0.1, **more
        )

    layer = MemoryAttentionLayer(
        activation="relu", dim_feedforward=64, dropout=0.1, pos_enc_at_attn=False, self_attention=attention(),
        d_model=WIDE, pos_enc_at_cross_attn_keys=True, pos_enc_at_cross_attn_queries=False,
        cross_attention=attention(rope_k_repeat=True, kv_in_dim=64),
    )  # fmt: skip
    trunk = Hiera(
        embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), global_att_blocks=(3,), window_spec=(8, 4, 4, 2),
        window_pos_embed_bkg_spatial_size=(7, 7),
    )  # fmt: skip
    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=WIDE, normalize=True),
        d_model=WIDE,
        backbone_channel_list=[128, 64, 32, 16],
        fpn_top_down_levels=[2, 3],
        fpn_interp_model="nearest",
    )
    encoder = MemoryEncoder(
        in_dim=WIDE,
        out_dim=64,
        position_encoding=PositionEmbeddingSine(num_pos_feats=64, normalize=True),
        mask_downsampler=MaskDownSampler(embed_dim=WIDE, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(layer=CXBlock(dim=WIDE, kernel_size=7, padding=3, use_dwconv=True), num_layers=2),
    )
    return SAM2VideoPredictor(
        image_encoder=ImageEncoder(trunk=trunk, neck=neck, scalp=1),
        memory_attention=MemoryAttention(d_model=WIDE, pos_enc_at_input=True, layer=layer, num_layers=2),
        memory_encoder=encoder,
        num_maskmem=7,
        image_size=SIZE,
        sigmoid_scale_for_mem_enc=20.0,
        sigmoid_bias_for_mem_enc=-10.0,
        use_mask_input_as_output_without_sam=True,
        directly_add_no_mem_embed=True,
        no_obj_embed_spatial=True,
        use_high_res_features_in_sam=True,
        multimask_output_in_sam=True,
        iou_prediction_use_sigmoid=True,
        use_obj_ptrs_in_encoder=True,
        add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=True,
        use_signed_tpos_enc_to_obj_ptrs=True,
        only_obj_ptrs_in_the_past_for_eval=True,
        pred_obj_scores=True,
        pred_obj_scores_mlp=True,
        fixed_no_obj_ptr=True,
        multimask_output_for_tracking=True,
        use_multimask_token_for_obj_ptr=True,
        multimask_min_pt_num=0,
        multimask_max_pt_num=1,
        use_mlp_for_obj_ptr_proj=True,
        binarize_mask_from_pts_for_mem_enc=True,
        # A frame that a click corrected counts as told by the user, as in the model's training.
        add_all_frames_to_correct_as_cond=True,
        sam_mask_decoder_extra_args={
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        },
    ).eval()
