"""Tiny networks with random weights, each exported once for all tests."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import DepthAnythingForDepthEstimation, Sam2HieraDetConfig, Sam2VisionConfig, Sam2VisionModel

from services.casper.network import CompactCasper, Widths
from services.engines.export import networks
from services.engines.export.graph import Exportable, export
from tests.services.depth.large import tiny

SIDE = 128


def depth_anything() -> Exportable:
    return networks.depth_anything(tiny.shaken(DepthAnythingForDepthEstimation(tiny.single_config())))


def sam2_encoder() -> Exportable:
    backbone = Sam2HieraDetConfig(
        hidden_size=8,
        num_attention_heads=1,
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 2, 4, 8],
        window_size_per_stage=[8, 4, 4, 4],
        global_attention_blocks=[3],
        image_size=[SIDE, SIDE],
    )
    config = Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[64, 32, 16, 8],
        fpn_hidden_size=16,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    )
    return networks.sam2_encoder(tiny.shaken(Sam2VisionModel(config)), side=SIDE)


class Plain(nn.Conv2d):
    """In place of a `services.casper.network.Block`."""

    def forward(self, x: Tensor, level: Tensor, frames: int) -> Tensor:
        return super().forward(x)


def compact_casper() -> Exportable:
    torch.manual_seed(0)
    network = CompactCasper(Widths((8, 8, 24, 24), 16))
    # Every kind of layer stays, few of a kind: tracing takes seconds for each. `export` checks the whole network.
    network.down_c, network.middle, network.attention = nn.ModuleList(), network.middle[:1], network.attention[:1]
    network.down_a, network.up_b, network.up_a = Plain(8, 8, 1), Plain(32, 8, 1), Plain(16, 8, 1)
    with torch.no_grad():
        for value in network.parameters():
            value.copy_(0.2 * torch.randn_like(value))
    return networks.compact_casper(network)


MAKERS = {"depth-anything": depth_anything, "sam2-encoder": sam2_encoder, "compact-casper": compact_casper}


@pytest.fixture(scope="session", params=sorted(MAKERS))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Exportable, Path]:
    what = MAKERS[request.param]()
    path = tmp_path_factory.mktemp("onnx") / f"{what.name}.onnx"
    export(what, path)
    return what, path
