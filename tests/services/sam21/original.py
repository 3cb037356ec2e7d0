"""The original packages' predictors with the sizes of `tiny`, where such a package is installed."""

from __future__ import annotations

from typing import Any

from tests.services.sam21.tiny import SIZE, WIDE

# Options that the configuration files of SAM 2.1 and of EdgeTAM, and the predictor's builder, have in common.
_OPTIONS: dict[str, Any] = {
    "num_maskmem": 7,
    "image_size": SIZE,
    "sigmoid_scale_for_mem_enc": 20.0,
    "sigmoid_bias_for_mem_enc": -10.0,
    "use_mask_input_as_output_without_sam": True,
    "directly_add_no_mem_embed": True,
    "use_high_res_features_in_sam": True,
    "multimask_output_in_sam": True,
    "iou_prediction_use_sigmoid": True,
    "use_obj_ptrs_in_encoder": True,
    "only_obj_ptrs_in_the_past_for_eval": True,
    "pred_obj_scores": True,
    "pred_obj_scores_mlp": True,
    "fixed_no_obj_ptr": True,
    "multimask_output_for_tracking": True,
    "use_multimask_token_for_obj_ptr": True,
    "multimask_min_pt_num": 0,
    "multimask_max_pt_num": 1,
    "use_mlp_for_obj_ptr_proj": True,
    "binarize_mask_from_pts_for_mem_enc": True,
    # A frame that a click corrected counts as told by the user, as in the model's training.
    "add_all_frames_to_correct_as_cond": True,
    "sam_mask_decoder_extra_args": {
        "dynamic_multimask_via_stability": True,
        "dynamic_multimask_stability_delta": 0.05,
        "dynamic_multimask_stability_thresh": 0.98,
    },
}


def sam2_predictor() -> Any:
    """SAM 2.1 with Hiera, weights random."""
    from sam2.modeling.backbones.hieradet import Hiera
    from sam2.modeling.sam.transformer import RoPEAttention
    from sam2.sam2_video_predictor import SAM2VideoPredictor

    trunk = Hiera(
        embed_dim=16, num_heads=1, stages=(1, 1, 2, 1), global_att_blocks=(3,), window_spec=(8, 4, 4, 2),
        window_pos_embed_bkg_spatial_size=(7, 7),
    )  # fmt: skip
    cross = RoPEAttention(rope_k_repeat=True, kv_in_dim=64, feat_sizes=_COARSE, **_ATTENTION)
    return SAM2VideoPredictor(
        image_encoder=_image_encoder(trunk, [128, 64, 32, 16]),
        memory_attention=_memory_attention(cross),
        memory_encoder=_memory_encoder(),
        no_obj_embed_spatial=True,
        add_tpos_enc_to_obj_ptrs=True,
        proj_tpos_enc_in_obj_ptrs=True,
        use_signed_tpos_enc_to_obj_ptrs=True,
        **_OPTIONS,
    ).eval()


def edgetam_predictor() -> Any:
    """EdgeTAM, of the package that EdgeTAM's authors made of `sam2`, with timm's RepViT-M1; weights random."""
    import timm
    from sam2.modeling.perceiver import PerceiverResampler
    from sam2.modeling.position_encoding import PositionEmbeddingSine
    from sam2.modeling.sam.transformer import RoPEAttentionv2
    from sam2.sam2_video_predictor import SAM2VideoPredictor
    from torch import nn

    class Trunk(nn.Module):
        channel_list = [384, 192, 96, 48]  # noqa: RUF012

        def __init__(self) -> None:
            super().__init__()
            self.body = timm.create_model("repvit_m1", features_only=True, out_indices=(0, 1, 2, 3))

        def forward(self, x: Any) -> list[Any]:
            return list(self.body(x))

    perceiver = PerceiverResampler(
        depth=2, dim=64, dim_head=64, heads=1, ff_mult=4, hidden_dropout_p=0.0, attention_dropout_p=0.0,
        pos_enc_at_key_value=True, concat_kv_latents=False, num_latents=16, num_latents_2d=16,
        position_encoding=PositionEmbeddingSine(num_pos_feats=64, normalize=True), use_self_attn=True,
    )  # fmt: skip
    cross = RoPEAttentionv2(kv_in_dim=64, q_sizes=_COARSE, k_sizes=[4, 4], **_ATTENTION)
    return SAM2VideoPredictor(
        image_encoder=_image_encoder(Trunk(), [384, 192, 96, 48]),
        memory_attention=_memory_attention(cross),
        memory_encoder=_memory_encoder(),
        spatial_perceiver=perceiver,
        add_tpos_enc_to_obj_ptrs=False,
        **_OPTIONS,
    ).eval()


_COARSE = [SIZE // 16] * 2
_ATTENTION = {"rope_theta": 10000.0, "embedding_dim": WIDE, "num_heads": 1, "downsample_rate": 1, "dropout": 0.1}


def _image_encoder(trunk: Any, widths: list[int]) -> Any:
    from sam2.modeling.backbones.image_encoder import FpnNeck, ImageEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine

    neck = FpnNeck(
        position_encoding=PositionEmbeddingSine(num_pos_feats=WIDE, normalize=True), d_model=WIDE,
        backbone_channel_list=widths, fpn_top_down_levels=[2, 3], fpn_interp_model="nearest",
    )  # fmt: skip
    return ImageEncoder(trunk=trunk, neck=neck, scalp=1)


def _memory_attention(cross: Any) -> Any:
    from sam2.modeling.memory_attention import MemoryAttention, MemoryAttentionLayer
    from sam2.modeling.sam.transformer import RoPEAttention

    layer = MemoryAttentionLayer(
        activation="relu", dim_feedforward=64, dropout=0.1, pos_enc_at_attn=False,
        self_attention=RoPEAttention(feat_sizes=_COARSE, **_ATTENTION), d_model=WIDE, pos_enc_at_cross_attn_keys=True,
        pos_enc_at_cross_attn_queries=False, cross_attention=cross,
    )  # fmt: skip
    return MemoryAttention(d_model=WIDE, pos_enc_at_input=True, layer=layer, num_layers=2)


def _memory_encoder() -> Any:
    from sam2.modeling.memory_encoder import CXBlock, Fuser, MaskDownSampler, MemoryEncoder
    from sam2.modeling.position_encoding import PositionEmbeddingSine

    return MemoryEncoder(
        in_dim=WIDE,
        out_dim=64,
        position_encoding=PositionEmbeddingSine(num_pos_feats=64, normalize=True),
        mask_downsampler=MaskDownSampler(embed_dim=WIDE, kernel_size=3, stride=2, padding=1),
        fuser=Fuser(layer=CXBlock(dim=WIDE, kernel_size=7, padding=3, use_dwconv=True), num_layers=2),
    )
