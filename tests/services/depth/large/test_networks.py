"""The networks: names of published tensors strict in both directions, and what they compute against plain formulas."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.checkpoint.files import held
from services.checkpoint.loading import load_into
from services.depth.large import depth_anything
from services.depth.large.crafter import svd_scheduler
from services.depth.large.crafter_unet import predicted
from services.depth.large.temporal import TemporalModule
from services.depth.large.video_names import converted
from services.depth.large.video_network import VideoDepthNetwork
from services.errors import BadOption
from tests.services.depth.large import tiny

HERE = Path("video.pth")


def plain_temporal(published: dict[str, Tensor], x: Tensor) -> Tensor:
    """The published module on [T, C, h, w] in plain words, one place of the picture at a time."""
    p = {name.split("temporal_transformer.")[1]: value for name, value in published.items() if "modules.0." in name}
    frames, channels, height, width = x.shape
    normed = F.group_norm(x, 32, p["norm.weight"], p["norm.bias"], eps=1e-6)
    out = x.clone()
    for i in range(height):
        for j in range(width):
            h = F.linear(normed[:, :, i, j], p["proj_in.weight"], p["proj_in.bias"])
            for k in (0, 1):
                block = f"transformer_blocks.0.attention_blocks.{k}."
                norms = f"transformer_blocks.0.norms.{k}."
                seen = F.layer_norm(h, (channels,), p[norms + "weight"], p[norms + "bias"])
                time = torch.arange(frames)[:, None] / 10000 ** (torch.arange(0, channels, 2) / channels)
                seen = seen + torch.stack([time.sin(), time.cos()], dim=-1).reshape(frames, channels)
                query, key, value = (seen @ p[f"{block}to_{part}.weight"].T for part in "qkv")
                heads = []
                for q, k_, v in zip(query.chunk(8, 1), key.chunk(8, 1), value.chunk(8, 1), strict=True):
                    heads.append(torch.softmax(q @ k_.T / (channels // 8) ** 0.5, dim=-1) @ v)
                h = h + F.linear(torch.cat(heads, 1), p[block + "to_out.0.weight"], p[block + "to_out.0.bias"])
            names = "transformer_blocks.0."
            gated = F.layer_norm(h, (channels,), p[names + "ff_norm.weight"], p[names + "ff_norm.bias"])
            wide = F.linear(gated, p[names + "ff.net.0.proj.weight"], p[names + "ff.net.0.proj.bias"])
            wide = wide[:, : 4 * channels] * F.gelu(wide[:, 4 * channels :])
            h = h + F.linear(wide, p[names + "ff.net.2.weight"], p[names + "ff.net.2.bias"])
            out[:, :, i, j] += F.linear(h, p["proj_out.weight"], p["proj_out.bias"])
    return out


@pytest.fixture(scope="module")
def network() -> VideoDepthNetwork:
    made: VideoDepthNetwork = tiny.shaken(VideoDepthNetwork(tiny.WIDTHS))
    return made


def test_published_names_are_mapped_strictly_in_both_directions(network: VideoDepthNetwork) -> None:
    published = tiny.published_video(network)
    mapped, own = converted(published), network.state_dict()
    assert mapped.keys() == own.keys()
    assert all(torch.equal(mapped[name], own[name]) for name in own)


def test_every_published_tensor_that_is_lost_or_unknown_is_named(network: VideoDepthNetwork) -> None:
    published = tiny.published_video(network)
    fresh = VideoDepthNetwork(tiny.WIDTHS)
    lost = {name: value for name, value in published.items() if "motion_modules.2" not in name}
    with pytest.raises(BadOption, match=r"temporal\.2\.norm\.weight"):
        load_into(fresh, held(converted(lost), path=HERE))
    with pytest.raises(BadOption, match=r"head\.metric\.weight"):
        load_into(fresh, held(converted(published | {"head.metric.weight": torch.zeros(2)}), path=HERE))
    with pytest.raises(BadOption, match=r"head\.conv3\.bias"):
        other = published | {"head.scratch.output_conv2.2.bias": torch.zeros(2)}
        load_into(fresh, held(converted(other), path=HERE))


def test_the_temporal_module_is_the_published_one(network: VideoDepthNetwork) -> None:
    x = torch.randn(5, 32, 2, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        made = network.temporal[0](x, 5)
        torch.testing.assert_close(made, plain_temporal(tiny.published_video(network), x), atol=1e-5, rtol=1e-5)


def test_without_weights_at_its_end_the_temporal_module_does_nothing() -> None:
    module = TemporalModule(32)
    nn.init.zeros_(module.outward.weight)
    nn.init.zeros_(module.outward.bias)
    x = torch.randn(4, 32, 2, 3)
    with torch.no_grad():
        assert torch.equal(module(x, 4), x)


def test_frames_see_each_other(network: VideoDepthNetwork) -> None:
    frames = torch.randn(6, 3, 28, 42, generator=torch.Generator().manual_seed(0))
    other = frames.clone()
    other[5] += 1
    with torch.no_grad():
        change = (network(frames) - network(other))[:5].abs().max()
    assert change > 1e-4 * float(network(frames).detach().abs().max())


def test_how_many_frames_go_together_changes_nothing(
    network: VideoDepthNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = torch.randn(5, 3, 28, 42, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pieces = network(frames)
        monkeypatch.setattr("services.depth.large.video_network._TOGETHER", 5)
        torch.testing.assert_close(pieces, network(frames), atol=1e-5, rtol=1e-5)


def test_old_and_new_names_of_the_single_frame_model_load_alike(tmp_path: Path) -> None:
    tiny.write_single(tmp_path)
    loaded = depth_anything.load_network(tmp_path / "depth-anything-v2-small").state_dict()
    assert all(depth_anything.renamed(name) == name for name in loaded)
    assert set(tiny.old_names(loaded)) != set(loaded)


def test_every_frame_is_told_its_own_picture() -> None:
    torch.manual_seed(0)
    unet = tiny.crafter_unet()
    sample, time = torch.randn(3, 8, 8, 8), torch.tensor(0.7)
    same, told = torch.randn(1, 16).expand(3, 16), torch.randn(3, 16)
    with torch.no_grad():
        ids = torch.tensor([[7.0, 127.0, 0.02]])
        theirs = unet(sample[None], time, same[None, :1], ids).sample[0]
        torch.testing.assert_close(predicted(unet, sample, time, same), theirs, atol=1e-6, rtol=1e-5)
        assert not torch.allclose(predicted(unet, sample, time, told), theirs, atol=1e-4)


@pytest.mark.parametrize("steps", [2, 5, 25])
def test_the_schedule_is_karras_levels_from_700_to_0_002(steps: int) -> None:
    scheduler = svd_scheduler()
    scheduler.set_timesteps(steps)
    ramp = np.linspace(0, 1, steps)
    levels = (700 ** (1 / 7) + ramp * (0.002 ** (1 / 7) - 700 ** (1 / 7))) ** 7
    np.testing.assert_allclose(scheduler.sigmas.numpy(), [*levels, 0], rtol=1e-4)
    np.testing.assert_allclose(scheduler.timesteps.numpy(), 0.25 * np.log(levels), rtol=1e-3, atol=1e-3)
    assert float(scheduler.init_noise_sigma) == pytest.approx((700**2 + 1) ** 0.5, rel=1e-5)
