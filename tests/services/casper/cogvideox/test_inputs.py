"""What the CogVideoX denoiser is given, against the release's formulas written out."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from services.casper.cogvideox.inputs import (
    assembled,
    cogvideox_mask,
    condition_noise,
    latent_noise,
    mask_part,
    rotary,
    with_condition_noise,
)
from services.casper.cogvideox.tiny import tiny_network


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_channels_are_noise_then_mask_then_video() -> None:
    noisy, mask, video = randn(2, 16, 4, 2, 2), randn(2, 1, 4, 2, 2, seed=1), randn(1, 16, 4, 2, 2, seed=2)
    stacked = assembled(noisy, mask, video)
    assert stacked.shape == (2, 4, 33, 2, 2)
    for run in range(2):
        for t in range(4):
            assert torch.equal(stacked[run, t, :16], noisy[run, :, t])
            assert torch.equal(stacked[run, t, 16], mask[run, 0, t])
            assert torch.equal(stacked[run, t, 17:], video[0, :, t])


def test_a_patch_is_channel_major_noise_0_mask_128_video_136() -> None:
    """264 features of the embedding's linear layer: channel, then (time, row, column) of the 2x2x2 patch."""
    noisy, mask, video = randn(1, 16, 4, 4, 6), randn(1, 1, 4, 4, 6, seed=1), randn(1, 16, 4, 4, 6, seed=2)
    network, seen = tiny_network(), []
    network.patch_embed.proj.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    stacked = assembled(noisy, mask, video)
    network.patch_embed(torch.zeros(1, 8, 16), stacked)
    channels = torch.cat([noisy, mask, video], dim=1)[0]
    assert seen[0].shape == (1, 2 * 2 * 3, 264)
    for token in range(12):
        t, y, x = token // 6, token % 6 // 3, token % 3
        patch = channels[:, 2 * t : 2 * t + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert torch.equal(seen[0][0, token], patch.reshape(-1))
    assert torch.equal(seen[0][0, 0, 128:136], mask[0, 0, :2, :2, :2].reshape(-1))


def test_the_mask_is_scaled_like_latents() -> None:
    trimask = torch.tensor([0.0, 0.5, 1.0])[None, None, None, None, :].repeat_interleave(8, -1).expand(1, 1, 5, 8, 24)
    found = cogvideox_mask(trimask, size=(2, 1, 3))
    assert found[0, 0, 1, 0].tolist() == pytest.approx([0, 0.7 * 128 / 255, 0.7])
    assert found[0, 0, 1, 0, 1] == pytest.approx(0.351, abs=5e-4)


def test_masks_by_parts_are_the_whole_clips() -> None:
    trimask = torch.randint(0, 3, (2, 1, 21, 16, 24), generator=torch.Generator().manual_seed(0)) / 2
    whole = cogvideox_mask(trimask, size=(6, 2, 3))
    parts = [mask_part(trimask[:, :, :13], begins=True), mask_part(trimask[:, :, 13:], begins=False)]
    assert torch.equal(torch.cat(parts, dim=2), whole)


def test_condition_noise_skips_values_of_minus_one() -> None:
    video = randn(1, 3, 2, 4, 4).clamp(-1, 1)
    video[0, :, 0] = -1
    noise = randn(1, 3, 2, 4, 4, seed=1)
    found = with_condition_noise(video, noise)
    assert torch.equal(found, torch.where(video == -1, video, video + 0.0563 * noise))
    assert (found[0, :, 0] == -1).all() and (video[0, :, 1] == -1).any()


def test_noise_depends_on_seed_and_frame_alone() -> None:
    for draw in (latent_noise, condition_noise):
        whole = draw(0, 6, seed=3, height=32, width=48)
        assert torch.equal(draw(2, 4, seed=3, height=32, width=48), whole[:, :, 2:4])
        assert not torch.equal(draw(0, 6, seed=4, height=32, width=48), whole)
    assert latent_noise(0, 6, seed=3, height=32, width=48).shape == (1, 16, 6, 4, 6)
    assert condition_noise(0, 6, seed=3, height=32, width=48).shape == (1, 3, 6, 32, 48)
    many = latent_noise(0, 40, seed=0, height=64, width=64)
    assert many.mean().abs() < 0.01 and abs(many.std() - 1) < 0.01


def test_positions_start_at_zero_and_turn_as_written_out() -> None:
    """A quarter of a head's channels for time, three eighths for each of row and column, theta 10000, slices."""
    config = SimpleNamespace(attention_head_dim=64, patch_size=2, patch_size_t=2, sample_height=384, sample_width=680)
    cos, sin = rotary(config, torch.zeros(1, 6, 33, 4, 6))
    angles = []
    for t in range(3):
        for y in range(2):
            for x in range(3):
                row = []
                for place, size in ((t, 16), (y, 24), (x, 24)):
                    for pair in range(size // 2):
                        row += [place * 10000 ** (-2 * pair / size)] * 2
                angles.append(row)
    wanted = torch.tensor(angles, dtype=torch.float64)
    assert torch.allclose(cos.double(), wanted.cos(), atol=1e-6)
    assert torch.allclose(sin.double(), wanted.sin(), atol=1e-6)
    assert cos[0, 0] == 1 and math.isclose(cos[6, 0], math.cos(1), abs_tol=1e-6)


def test_the_folder_fixture_is_a_whole_model(weights: Path) -> None:
    assert {"casper.safetensors", "text", "transformer", "vae"} <= {path.name for path in weights.iterdir()}
