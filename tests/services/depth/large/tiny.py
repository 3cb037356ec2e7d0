"""Tiny models with random weights, stored as the published ones are."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLTemporalDecoder, UNetSpatioTemporalConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
)

from services.depth.large import crafter_files, depth_anything, models, video_depth_anything
from services.depth.large.crafter import Sampling
from services.depth.large.estimator import DepthEstimator, Floats, Watch
from services.depth.large.models import LargeModel
from services.depth.large.video_network import VideoDepthNetwork, Widths
from services.depth.published import PublishedModel
from services.depth.stage import Depth
from tests.services.weights_home import completed

WIDTHS = Widths(width=24, layers=4, heads=2, taps=(1, 2, 3, 4), neck=(8, 8, 32, 32), features=32, last=8, image=56)
SAMPLING = Sampling(steps=2, window=4, overlap=1, chunk=3, long_side=64)
QUIET = Watch(check=lambda: None, progress=lambda done, total, kind: None)


@dataclass(frozen=True)
class Written:
    """A tiny model in the folder `weights / name`; files: those with tensors, and configurations."""

    name: str
    weights: Path
    files: tuple[Path, ...]
    model: LargeModel

    def load(self) -> DepthEstimator:
        return self.model.load(self.weights / self.name)

    def stage(self) -> Depth:
        """Finds the weights by OMNIMATTE_WEIGHTS."""
        return Depth(published={self.name: lambda: PublishedModel(self.name, self.model)})


class ArrayClip:
    """A clip in memory; counts what is read."""

    def __init__(self, frames: Floats) -> None:
        self._frames = frames
        self.read: list[int] = []

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._frames.shape[0], self._frames.shape[1], self._frames.shape[2]

    def frame(self, t: int) -> Floats:
        self.read.append(t)
        return self._frames[t]


def clip(total: int, height: int = 40, width: int = 60, seed: int = 0) -> ArrayClip:
    return ArrayClip(np.random.default_rng(seed).random((total, height, width, 3), np.float32))


def shaken(network: nn.Module, seed: int = 0) -> Any:
    """Weights with which every layer matters and values stay moderate."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.named_parameters():
            noise = torch.randn(value.shape, generator=random)
            if value.ndim > 1:
                value.copy_(noise * value[0].numel() ** -0.5)
            else:
                value.copy_(0.1 * noise + (1 if "norm" in name and name.endswith("weight") else 0.3))
    return network.eval()


def old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As Depth-Anything-V2-Small's published file names them."""
    new = {
        "q_proj": "attention.query",
        "k_proj": "attention.key",
        "v_proj": "attention.value",
        "o_proj": "output.dense",
    }
    result = {}
    for name, value in tensors.items():
        for short, long in new.items():
            name = name.replace(f"attention.{short}.", f"attention.{long}.")
        result[name] = value
    return result


def single_config() -> DepthAnythingConfig:
    backbone = Dinov2Config(
        hidden_size=24,
        num_hidden_layers=4,
        num_attention_heads=2,
        image_size=56,
        patch_size=14,
        out_indices=[1, 2, 3, 4],
        reshape_hidden_states=False,
    )
    return DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=24,
        neck_hidden_sizes=[8, 8, 16, 16],
        fusion_hidden_size=16,
        head_hidden_size=8,
    )


def write_single(weights: Path, seed: int = 0) -> Written:
    config = single_config()
    folder = weights / "depth-anything-v2-small"
    folder.mkdir(parents=True, exist_ok=True)
    network = shaken(DepthAnythingForDepthEstimation(config), seed)
    content = config.to_dict() | {"reassemble_hidden_size": 24}
    (folder / "config.json").write_text(json.dumps(content))
    save_file(old_names(network.state_dict()), folder / "model.safetensors")
    model = LargeModel(1, lambda folder: depth_anything.load(folder, short_side=56))
    completed(weights, folder.name)
    return Written(folder.name, weights, (folder / "config.json", folder / "model.safetensors"), model)


def published_video(network: VideoDepthNetwork) -> dict[str, Tensor]:
    """The network's tensors under the names of the published checkpoint, written out rule by rule, apart from ours."""
    own = network.state_dict()
    result: dict[str, Tensor] = {
        "pretrained.cls_token": own["backbone.embeddings.cls_token"],
        "pretrained.mask_token": own["backbone.embeddings.mask_token"],
        "pretrained.pos_embed": own["backbone.embeddings.position_embeddings"],
        "head.scratch.output_conv1.weight": own["head.conv1.weight"],
        "head.scratch.output_conv1.bias": own["head.conv1.bias"],
        "head.scratch.output_conv2.0.weight": own["head.conv2.weight"],
        "head.scratch.output_conv2.0.bias": own["head.conv2.bias"],
        "head.scratch.output_conv2.2.weight": own["head.conv3.weight"],
        "head.scratch.output_conv2.2.bias": own["head.conv3.bias"],
    }
    for kind in ("weight", "bias"):
        result[f"pretrained.patch_embed.proj.{kind}"] = own[f"backbone.embeddings.patch_embeddings.projection.{kind}"]
        result[f"pretrained.norm.{kind}"] = own[f"backbone.layernorm.{kind}"]
        for i in range(WIDTHS.layers):
            layer, block = f"backbone.encoder.layer.{i}.", f"pretrained.blocks.{i}."
            parts = [own[f"{layer}attention.{part}_proj.{kind}"] for part in "qkv"]
            result[f"{block}attn.qkv.{kind}"] = torch.cat(parts)
            result[f"{block}attn.proj.{kind}"] = own[f"{layer}attention.o_proj.{kind}"]
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                result[f"{block}{part}.{kind}"] = own[f"{layer}{part}.{kind}"]
            for j in (1, 2):
                result[f"{block}ls{j}.gamma"] = own[f"{layer}layer_scale{j}.lambda1"]
        for i in range(4):
            result[f"head.projects.{i}.{kind}"] = own[f"neck.reassemble_stage.layers.{i}.projection.{kind}"]
            if i != 2:
                result[f"head.resize_layers.{i}.{kind}"] = own[f"neck.reassemble_stage.layers.{i}.resize.{kind}"]
            result[f"head.scratch.layer{i + 1}_rn.weight"] = own[f"neck.convs.{i}.weight"]
            fused, theirs = f"neck.fusion_stage.layers.{i}.", f"head.scratch.refinenet{4 - i}."
            result[f"{theirs}out_conv.{kind}"] = own[f"{fused}projection.{kind}"]
            for unit in (1, 2):
                for conv in (1, 2):
                    inner = f"residual_layer{unit}.convolution{conv}.{kind}"
                    result[f"{theirs}resConfUnit{unit}.conv{conv}.{kind}"] = own[f"{fused}{inner}"]
            result |= _published_temporal(own, i, kind)
    return {name: value.clone().contiguous() for name, value in result.items()}


def _published_temporal(own: dict[str, Tensor], i: int, kind: str) -> dict[str, Tensor]:
    mine, theirs = f"temporal.{i}.", f"head.motion_modules.{i}.temporal_transformer."
    block = f"{theirs}transformer_blocks.0."
    result = {
        f"{theirs}norm.{kind}": own[f"{mine}norm.{kind}"],
        f"{theirs}proj_in.{kind}": own[f"{mine}inward.{kind}"],
        f"{theirs}proj_out.{kind}": own[f"{mine}outward.{kind}"],
        f"{block}ff.net.0.proj.{kind}": own[f"{mine}feed_forward.widen.{kind}"],
        f"{block}ff.net.2.{kind}": own[f"{mine}feed_forward.narrow.{kind}"],
        f"{block}ff_norm.{kind}": own[f"{mine}feed_forward_norm.{kind}"],
    }
    for j in (0, 1):
        attention = f"{block}attention_blocks.{j}."
        result[f"{block}norms.{j}.{kind}"] = own[f"{mine}attention_norm.{j}.{kind}"]
        result[f"{attention}to_out.0.{kind}"] = own[f"{mine}attention.{j}.out.{kind}"]
        result[f"{attention}pos_encoder.pe"] = own[f"{mine}attention.{j}.positions"]
        for part in ("query", "key", "value"):
            result[f"{attention}to_{part[0]}.weight"] = own[f"{mine}attention.{j}.{part}.weight"]
    return result


def write_video(weights: Path, seed: int = 0) -> Written:
    file = weights / "video-depth-anything-small" / models.VIDEO_FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(published_video(shaken(VideoDepthNetwork(WIDTHS), seed)), file)
    model = LargeModel(1, lambda folder: video_depth_anything.load(folder / models.VIDEO_FILE, WIDTHS, short_side=56))
    return Written(file.parent.name, weights, (file,), model)


def crafter_unet() -> Any:
    network = UNetSpatioTemporalConditionModel(
        block_out_channels=(32, 64),
        down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"),
        addition_time_embed_dim=32,
        projection_class_embeddings_input_dim=96,
        layers_per_block=1,
        cross_attention_dim=16,
        num_attention_heads=(2, 4),
    )
    return network.eval()


def crafter_vae() -> Any:
    network = AutoencoderKLTemporalDecoder(
        block_out_channels=(32, 32, 32, 32), down_block_types=("DownEncoderBlock2D",) * 4, latent_channels=4
    )
    return network.eval()


def crafter_clip() -> Any:
    config = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=224,
        patch_size=56,
        projection_dim=16,
    )
    return CLIPVisionModelWithProjection(config).eval()


def write_crafter(weights: Path, sampling: Sampling = SAMPLING) -> Written:
    torch.manual_seed(0)
    folder = weights / "depthcrafter"
    crafter_unet().save_pretrained(folder / "unet")
    crafter_vae().save_pretrained(folder / "vae", variant="fp16")
    crafter_clip().save_pretrained(folder / "image_encoder", variant="fp16")
    files = tuple(path for path in sorted(folder.rglob("*")) if path.is_file())
    completed(weights, folder.name)
    return Written(folder.name, weights, files, LargeModel(1, lambda folder: crafter_files.load(folder, sampling)))
